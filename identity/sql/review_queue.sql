-- What waits for a person's decision, by what the answer is worth: how uncertain it is (entropy, in
-- bits) times what hangs on it, the identifiers that would change their person and the links that a
-- guard holds between the two. Pairs in doubt, and pairs of people between whom a guard holds links
-- that hang on whole people; of those, how often such links were right tells how likely one is
-- (:held_share of :held_weight cases before anybody decided). Not of who refuses or is
-- restricted, nor what was decided or postponed. :lows and :shares are the recalibration.
WITH guards AS (
  SELECT split_part(guard, ':', 1) AS guard,
         (count(*) FILTER (WHERE is_match) + CAST(:held_share AS float8) * :held_weight)
           / (count(*) + CAST(:held_weight AS float8)) AS share
  FROM identity.label WHERE origin = 'held' AND guard IS NOT NULL GROUP BY 1
), curve AS (
  SELECT low, lead(low) OVER w AS high, low_share, lead(low_share) OVER w AS high_share
  FROM unnest(CAST(:lows AS float8[]), CAST(:shares AS float8[])) AS c(low, low_share)
  WINDOW w AS (ORDER BY low)
), waiting AS (
  SELECT 'pair' AS kind, q.id, q.left_id, q.right_id, q.weight, q.probability,
         (SELECT s.low_share + (q.probability - s.low) / (s.high - s.low) * (s.high_share - s.low_share)
          FROM curve s WHERE q.probability >= s.low AND q.probability <= s.high
          ORDER BY s.low LIMIT 1) AS likely,
         q.evidence, q.run_id, CAST(NULL AS text) AS guard, q.created_at
  FROM identity.review q WHERE q.decision IS NULL
  UNION ALL
  SELECT 'held', l.id, l.left_id, l.right_id, l.weight,
         CASE WHEN l.kind = 'match' THEN l.probability END,
         coalesce(g.share, CAST(:held_share AS float8)),
         l.evidence, CASE WHEN l.kind = 'match' THEN coalesce(l.scored_run_id, l.evidence_id) END, l.held, l.created_at
  FROM identity.link l
  LEFT JOIN guards g ON g.guard = split_part(l.held, ':', 1)
  WHERE l.held IS NOT NULL AND l.revoked_at IS NULL
    AND split_part(l.held, ':', 1) IN ('conflict', 'limit', 'size', 'bridge')
), people AS (
  SELECT w.*, least(a.person_id, b.person_id) AS one, greatest(a.person_id, b.person_id) AS other
  FROM waiting w
  JOIN identity.identifier a ON a.id = w.left_id
  JOIN identity.identifier b ON b.id = w.right_id
  LEFT JOIN identity.postponement p ON p.left_id = w.left_id AND p.right_id = w.right_id
  WHERE a.person_id <> b.person_id AND a.link_consent <> 'refused' AND b.link_consent <> 'refused'
    AND NOT EXISTS (SELECT FROM identity.identifier r
                    WHERE r.person_id IN (a.person_id, b.person_id) AND r.restricted)
    AND (p.until_at IS NULL OR p.until_at <= :now OR CAST(:postponed AS boolean))
), apart AS (
  SELECT least(x.person_id, y.person_id) AS one, greatest(x.person_id, y.person_id) AS other
  FROM identity.cannot_link c
  JOIN identity.identifier x ON x.id = c.left_id
  JOIN identity.identifier y ON y.id = c.right_id
), counted AS (
  SELECT p.*, count(*) FILTER (WHERE guard IS NOT NULL) OVER (PARTITION BY one, other) AS held,
         row_number() OVER (PARTITION BY one, other
                            ORDER BY (guard IS NOT NULL), probability DESC NULLS LAST, id) AS place
  FROM people p
  WHERE NOT EXISTS (SELECT FROM apart WHERE apart.one = p.one AND apart.other = p.other)
), sized AS (
  SELECT c.*,
         (SELECT count(*) FROM identity.identifier i WHERE i.person_id = c.one) AS one_size,
         (SELECT count(*) FROM identity.identifier i WHERE i.person_id = c.other) AS other_size,
         least(greatest(c.likely, 1e-9), 1 - 1e-9) AS p
  FROM counted c WHERE c.place = 1 OR c.id = CAST(:only_id AS bigint)
), valued AS (
  SELECT s.*, - (p * ln(p) + (1 - p) * ln(1 - p)) / ln(CAST(2 AS float8)) AS uncertainty
  FROM sized s
), ordered AS (
  SELECT kind, id, left_id, right_id, weight, probability, likely, evidence, run_id, guard,
         created_at, one, other, one_size, other_size, held,
         uncertainty, uncertainty * (least(one_size, other_size) + held) AS value
  FROM valued
)
SELECT * FROM ordered
WHERE (CAST(:value AS float8) IS NULL
       OR (value, kind, id) < (CAST(:value AS float8), CAST(:kind AS text), CAST(:id AS bigint)))
  AND (CAST(:only_kind AS text) IS NULL OR (kind = :only_kind AND id = :only_id))
ORDER BY value DESC, kind DESC, id DESC
LIMIT :limit;
