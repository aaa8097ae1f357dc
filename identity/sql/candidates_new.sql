-- Records that matching may see and has not seen as they are now, the oldest first.
SELECT identifier_id, CAST(fields AS text) AS fields, CAST(changed_at AS text) AS changed_at,
       true AS is_new
FROM identity.matchable
WHERE keys IS NULL
ORDER BY identifier_id
LIMIT :limit;
