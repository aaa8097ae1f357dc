-- Mirror whose processing is restricted where it differs.
UPDATE identity.identifier i SET restricted = r.restricted
FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, restricted boolean)
WHERE i.id = r.id AND i.restricted <> r.restricted
RETURNING i.id;
