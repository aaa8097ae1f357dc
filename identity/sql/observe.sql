-- Keep links. A match takes its new score; of events the earliest stands, in whatever order they
-- come, so that the answer never depends on it. What was revoked stays revoked. What is known is
-- looked up first: nearly all events show what others showed before, and a conflict would lock and
-- so rewrite its row.
INSERT INTO identity.link AS l
       (kind, left_id, right_id, rule, evidence_id, first_at, weight, probability, evidence)
SELECT r.kind, r.left_id, r.right_id, r.rule, r.evidence_id, r.first_at, r.weight, r.probability,
       r.evidence
FROM json_to_recordset(CAST(:rows AS json)) AS r(
       kind text, left_id bigint, right_id bigint, rule text, evidence_id bigint,
       first_at timestamptz, weight float8, probability float8, evidence jsonb)
LEFT JOIN LATERAL (
  SELECT k.revoked_at, k.probability, k.first_at FROM identity.link k
  WHERE k.left_id = r.left_id AND k.right_id = r.right_id AND k.kind = r.kind
  LIMIT 1
) known ON true
WHERE known.first_at IS NULL
   OR known.revoked_at IS NULL
      AND (r.kind = 'match' AND known.probability IS DISTINCT FROM r.probability
        OR r.kind = 'event' AND r.first_at < known.first_at)
ORDER BY r.left_id, r.right_id, r.kind
ON CONFLICT (left_id, right_id, kind) DO UPDATE
   SET weight = excluded.weight, probability = excluded.probability,
       evidence = excluded.evidence, evidence_id = excluded.evidence_id, rule = excluded.rule,
       first_at = least(l.first_at, excluded.first_at)
 WHERE l.revoked_at IS NULL
   AND (l.kind = 'match' AND l.probability IS DISTINCT FROM excluded.probability
     OR l.kind = 'event' AND excluded.first_at < l.first_at)
RETURNING left_id, right_id;
