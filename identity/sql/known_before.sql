-- Which of these identifiers were seen first before a time.
SELECT i.namespace, i.value
FROM unnest(CAST(:namespaces AS text[]), CAST(:values AS text[])) AS asked(namespace, value)
JOIN identity.identifier i USING (namespace, value)
WHERE i.first_seen_at < CAST(:at AS timestamptz);
