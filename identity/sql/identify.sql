-- Make identifiers that are new. Ordered, so that concurrent writers wait instead of deadlocking.
INSERT INTO identity.identifier (namespace, value)
SELECT r.namespace, r.value
FROM json_to_recordset(CAST(:rows AS json)) AS r(namespace text, value text)
WHERE NOT EXISTS (
  SELECT FROM identity.identifier i WHERE i.namespace = r.namespace AND i.value = r.value)
ORDER BY r.namespace, r.value
ON CONFLICT (namespace, value) DO NOTHING;
