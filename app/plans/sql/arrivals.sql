-- The newest events of a source, as a sample to propose a plan from; alias calls carry nothing.
-- The stream's index is walked backwards, and no further than :reach events of all sources: there
-- is no index by source and time, and a source that has fallen silent must not cost a full scan.
SELECT type, name, identifier_id, CAST(properties AS text) AS properties
FROM (
    SELECT source_id, received_at, type, name, identifier_id, properties
    FROM app.event
    ORDER BY transaction DESC, id DESC
    LIMIT :reach
) newest
WHERE source_id = :source_id
  AND received_at >= :since
  AND type <> 'alias'
LIMIT :limit;
