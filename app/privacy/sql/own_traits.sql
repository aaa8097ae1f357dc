-- The traits that a person's identifiers brought, with where each came from.
SELECT t.key, t.value, i.namespace || ':' || i.value AS identifier, t.occurred_at, t.received_at,
       s.name AS source
FROM app.trait t
JOIN identity.identifier i ON i.id = t.identifier_id
JOIN app.source s ON s.id = t.source_id
WHERE t.identifier_id = ANY(CAST(:ids AS bigint[]))
ORDER BY t.key, t.occurred_at;
