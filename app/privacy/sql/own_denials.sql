-- Uses of these identifiers' data that were denied, and why; not of how many others at once.
SELECT d.denied_at AS at, d.use, d.purpose, d.reason
FROM app.denied_use d
WHERE d.identifier_ids && CAST(:ids AS bigint[])
ORDER BY d.id;
