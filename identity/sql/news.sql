-- Of links that were shown, by their places in the arrays: which say anything new, for which of them
-- people must be computed again, and which are not known at all. Looked up first, because nearly all
-- events show what others showed before, and a conflict would lock and so rewrite the link's row.
-- A match counts by its new score, but for one whose run somebody took back: it says something new when
-- a record of the two has changed since and the score is surer by a bit (:surer) at least, for learning
-- alone moves scores. Of events the earliest stands and the latest week counts, in
-- whatever order they come, so that the answer never depends on it. What was revoked stays revoked.
-- That a link was seen again this week matters to nobody, unless a guard stops it (it may have lost
-- its owner, which a refusal hides) or the last owner of one of its ends is the one that counts.
-- Links are looked up by a kind that the planner does not know (`OFFSET 0`): with `kind = 'match'` it
-- takes the index of runs while statistics know of no match yet, and reads all of it for each pair
-- (a first run over a million people: 5,000 pairs took 17 s instead of 2.5 after 45,000).
SELECT string_agg(CAST(s.n AS text), ',' ORDER BY s.n) AS news,
       string_agg(CAST(s.n AS text), ',') FILTER (WHERE s.matters) AS matter,
       string_agg(CAST(s.n AS text), ',') FILTER (WHERE s.unknown) AS unknown
FROM (
  SELECT r.n, known.first_at IS NULL AS unknown,
         known.first_at IS NULL OR :kind = 'match' OR r.first_at < known.first_at
           OR known.held IS NOT NULL
           OR EXISTS (SELECT FROM identity.identifier i
                      JOIN identity.namespace rules ON rules.name = i.namespace AND rules.last_owner
                      WHERE i.id IN (r.left_id, r.right_id)) AS matters
  FROM unnest(CAST(:lefts AS bigint[]), CAST(:rights AS bigint[]), CAST(:rules AS text[]),
              CAST(:firsts AS timestamptz[]), CAST(:weeks AS bigint[]),
              CAST(:probabilities AS float8[]), CAST(:weights AS float8[]))
       WITH ORDINALITY AS r(left_id, right_id, rules, first_at, last_week, probability, weight, n)
  CROSS JOIN (SELECT CAST(:kind AS text) AS kind OFFSET 0) of
  LEFT JOIN LATERAL (
    SELECT k.revoked_at, k.probability, k.first_at, k.last_week, k.held, k.rule, k.also,
           k.weight, k.evidence_id
    FROM identity.link k
    WHERE k.left_id = r.left_id AND k.right_id = r.right_id AND k.kind = of.kind
    LIMIT 1
  ) known ON true
  WHERE known.first_at IS NULL
     OR known.revoked_at IS NULL
        AND (:kind = 'match' AND known.probability IS DISTINCT FROM r.probability
             AND NOT EXISTS (
               SELECT FROM identity.suspension s WHERE s.run_id = known.evidence_id
               AND NOT (coalesce(r.weight >= known.weight + CAST(:surer AS float8), true)
                        AND EXISTS (SELECT FROM identity.record c
                                    WHERE c.identifier_id IN (r.left_id, r.right_id)
                                      AND c.changed_at > s.decided_at)))
          OR :kind = 'event' AND (r.first_at < known.first_at OR r.last_week > known.last_week)
          OR r.rules <> known.rule
              AND NOT string_to_array(r.rules, ',') <@ (known.rule || known.also))
) s;
