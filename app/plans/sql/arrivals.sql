-- The newest events of a source, as a sample to propose a plan from; alias calls carry nothing.
SELECT type, name, identifier_id, CAST(properties AS text) AS properties
FROM app.event
WHERE source_id = :source_id
  AND received_at >= :since
  AND type <> 'alias'
ORDER BY id DESC
LIMIT :limit;
