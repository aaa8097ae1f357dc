-- Keep links; return those whose people must be computed again. A match takes its new score; of
-- events the earliest stands and the latest week counts, in whatever order they come, so that the
-- answer never depends on it. What was revoked stays revoked. What is known is looked up first:
-- nearly all events show what others showed before, and a conflict would lock and so rewrite its
-- row. That a link was seen again this week matters to nobody, unless it lost its owner.
WITH news AS MATERIALIZED (
  SELECT r.kind, r.left_id, r.right_id, r.rule, r.evidence_id, r.first_at, r.weight, r.probability,
         r.evidence, CAST(floor(extract(epoch FROM r.last_at) / 604800) AS bigint) AS last_week,
         known.first_at IS NULL OR r.kind = 'match' OR r.first_at < known.first_at
           OR known.held IN ('shared', 'lapsed') AS matters
  FROM json_to_recordset(CAST(:rows AS json)) AS r(
         kind text, left_id bigint, right_id bigint, rule text, evidence_id bigint,
         first_at timestamptz, last_at timestamptz, weight float8, probability float8,
         evidence jsonb)
  LEFT JOIN LATERAL (
    SELECT k.revoked_at, k.probability, k.first_at, k.last_week, k.held FROM identity.link k
    WHERE k.left_id = r.left_id AND k.right_id = r.right_id AND k.kind = r.kind
    LIMIT 1
  ) known ON true
  WHERE known.first_at IS NULL
     OR known.revoked_at IS NULL
        AND (r.kind = 'match' AND known.probability IS DISTINCT FROM r.probability
          OR r.kind = 'event' AND (r.first_at < known.first_at
               OR CAST(floor(extract(epoch FROM r.last_at) / 604800) AS bigint) > known.last_week))
), kept AS (
  INSERT INTO identity.link AS l (kind, left_id, right_id, rule, evidence_id, first_at, last_week,
                                  weight, probability, evidence)
  SELECT kind, left_id, right_id, rule, evidence_id, first_at, last_week, weight, probability,
         evidence
  FROM news
  ORDER BY left_id, right_id, kind
  ON CONFLICT (left_id, right_id, kind) DO UPDATE
     SET (weight, probability, evidence, evidence_id, rule) = (
           SELECT excluded.weight, excluded.probability, excluded.evidence, excluded.evidence_id,
                  excluded.rule WHERE l.kind = 'match' OR excluded.first_at < l.first_at
           UNION ALL
           SELECT l.weight, l.probability, l.evidence, l.evidence_id, l.rule
           WHERE NOT (l.kind = 'match' OR excluded.first_at < l.first_at)),
         first_at = least(l.first_at, excluded.first_at),
         last_week = greatest(l.last_week, excluded.last_week)
   WHERE l.revoked_at IS NULL
     AND (l.kind = 'match' AND l.probability IS DISTINCT FROM excluded.probability
       OR l.kind = 'event' AND (excluded.first_at < l.first_at
                                OR excluded.last_week > l.last_week))
)
SELECT left_id, right_id FROM news WHERE matters;
