-- Note of which manifest, and where in it, each of these decisions is.
UPDATE app.disclosure d SET manifest_id = r.manifest_id, place = r.place
FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, manifest_id uuid, place bigint)
WHERE d.id = r.id;
