-- Who read data of these identifiers, for what and when; not of how many others at once.
SELECT r.read_at AS at, r.purpose, coalesce(c.name, 'a client that was removed') AS reader,
       r.operation
FROM app.person_read r
LEFT JOIN app.client c ON c.client_id = r.client_id
WHERE r.identifier_ids && CAST(:ids AS bigint[])
ORDER BY r.id;
