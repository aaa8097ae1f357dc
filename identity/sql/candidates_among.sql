-- Those of these records that matching may see.
SELECT identifier_id, fields, changed_at FROM identity.matchable
WHERE identifier_id = ANY (CAST(:ids AS bigint[]))
ORDER BY identifier_id;
