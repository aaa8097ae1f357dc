-- The records of some people that matching may see, oldest first, with their blocking keys.
SELECT identifier_id, person_id, fields, keys FROM identity.matchable
WHERE person_id = ANY (CAST(:people AS bigint[]))
ORDER BY identifier_id;
