-- All events of some identifiers, in the order of journeys, up to a moment.
SELECT e.type, e.name, s.name AS source, e.properties, e.occurred_at, e.identifier_id
FROM app.event e
JOIN app.source s ON s.id = e.source_id
WHERE e.identifier_id = ANY(CAST(:identifiers AS bigint[]))
  AND NOT app.barred(e.refused, :purpose)
  AND (CAST(:now AS timestamptz) IS NULL OR e.occurred_at <= CAST(:now AS timestamptz))
ORDER BY e.occurred_at, s.name COLLATE "C", e.source_seq NULLS LAST, e.received_at, e.id;
