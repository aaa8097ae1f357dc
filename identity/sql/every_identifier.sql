-- The next identifiers after one, by their ids.
SELECT id, namespace, value FROM identity.identifier
WHERE id > :after
ORDER BY id
LIMIT :limit;
