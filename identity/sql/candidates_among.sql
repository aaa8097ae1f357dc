-- Those of these records that matching may see.
SELECT identifier_id, CAST(fields AS text) AS fields, CAST(changed_at AS text) AS changed_at,
       keys IS NULL AS is_new
FROM identity.matchable
WHERE identifier_id = ANY (CAST(:ids AS bigint[]))
ORDER BY identifier_id;
