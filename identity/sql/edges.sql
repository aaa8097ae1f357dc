-- The links that stand at these identifiers, held ones included.
SELECT held, id, left_id, right_id, kind, CAST(extract(epoch FROM first_at) AS float8) AS first_at,
       coalesce(probability, 1) AS probability
FROM identity.link
WHERE (left_id = ANY(CAST(:ids AS bigint[])) OR right_id = ANY(CAST(:ids AS bigint[])))
  AND revoked_at IS NULL;
