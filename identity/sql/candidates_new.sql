-- Records that matching may see and has not seen as they are now, the oldest first.
SELECT identifier_id, fields, changed_at FROM identity.matchable
WHERE keys IS NULL
ORDER BY identifier_id
LIMIT :limit;
