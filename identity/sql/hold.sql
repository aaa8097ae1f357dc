-- Say why links are not followed, or that they are again.
UPDATE identity.link l SET held = r.held
FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, held text)
WHERE l.id = r.id;
