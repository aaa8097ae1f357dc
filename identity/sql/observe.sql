-- Keep links. A match takes its new score; of events the earliest stands, in whatever order they
-- come, so that the answer never depends on it. What was revoked stays revoked.
INSERT INTO identity.link AS l
       (kind, left_id, right_id, rule, evidence_id, first_at, weight, probability, evidence)
SELECT r.kind, r.left_id, r.right_id, r.rule, r.evidence_id, r.first_at, r.weight, r.probability,
       r.evidence
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
       kind text, left_id bigint, right_id bigint, rule text, evidence_id bigint,
       first_at timestamptz, weight float8, probability float8, evidence jsonb)
ORDER BY r.left_id, r.right_id
ON CONFLICT (left_id, right_id, kind) DO UPDATE
   SET weight = excluded.weight, probability = excluded.probability,
       evidence = excluded.evidence, evidence_id = excluded.evidence_id, rule = excluded.rule,
       first_at = least(l.first_at, excluded.first_at)
 WHERE l.revoked_at IS NULL
   AND (l.kind = 'match' AND l.probability IS DISTINCT FROM excluded.probability
     OR l.kind = 'event' AND excluded.first_at < l.first_at)
RETURNING left_id, right_id;
