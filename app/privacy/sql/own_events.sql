-- The events in which a person's identifiers act, in the order in which they happened.
SELECT e.message_id, e.type, e.name, e.user_id, e.anonymous_id, e.occurred_at, e.received_at,
       s.name AS source, e.properties, e.context, e.rest
FROM app.event e
JOIN app.source s ON s.id = e.source_id
WHERE e.identifier_id = ANY(CAST(:ids AS bigint[]))
ORDER BY e.occurred_at, e.received_at, e.id;
