-- The next identifiers that said something of a trait, whatever it was.
SELECT DISTINCT t.identifier_id
FROM app.trait t
WHERE t.key = :key AND t.identifier_id > :after
ORDER BY t.identifier_id
LIMIT :limit;
