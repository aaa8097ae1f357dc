-- Keep links; a match takes its new score, anything else stays as it was first seen.
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
       evidence = excluded.evidence, evidence_id = excluded.evidence_id
 WHERE l.kind = 'match' AND l.revoked_at IS NULL
   AND l.probability IS DISTINCT FROM excluded.probability
RETURNING left_id, right_id;
