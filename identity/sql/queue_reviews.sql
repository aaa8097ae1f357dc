-- Queue doubtful pairs for a person's decision; one that was decided is not asked again.
INSERT INTO identity.review AS q (left_id, right_id, weight, probability, evidence, run_id)
SELECT r.left_id, r.right_id, r.weight, r.probability, r.evidence, r.run_id
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
       left_id bigint, right_id bigint, weight float8, probability float8, evidence jsonb,
       run_id bigint)
ORDER BY r.left_id, r.right_id
ON CONFLICT (left_id, right_id) DO UPDATE
   SET weight = excluded.weight, probability = excluded.probability,
       evidence = excluded.evidence, run_id = excluded.run_id
 WHERE q.decision IS NULL
RETURNING id;
