-- The ids of identifiers.
SELECT i.id, i.namespace, i.value
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(namespace text, value text)
JOIN identity.identifier i ON i.namespace = r.namespace AND i.value = r.value;
