-- The ids of identifiers.
SELECT i.id, i.namespace, i.value
FROM json_to_recordset(CAST(:rows AS json)) AS r(namespace text, value text)
JOIN identity.identifier i ON i.namespace = r.namespace AND i.value = r.value;
