-- Write what stands beside these events of a partition. The lake does not have it.
UPDATE app.event e
SET rest = CAST(r.rest AS json)
FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, rest text)
WHERE e.part = :part AND e.id = r.id;
