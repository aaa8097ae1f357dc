-- All events of some identifiers, in the order of journeys.
SELECT e.identifier_id, e.type, e.name, s.name AS source, e.properties
FROM app.event e
JOIN app.source s ON s.id = e.source_id
WHERE e.identifier_id = ANY(CAST(:identifiers AS bigint[]))
  AND NOT app.barred(e.refused, :purpose)
ORDER BY e.occurred_at, s.name COLLATE "C", e.source_seq NULLS LAST, e.received_at, e.id;
