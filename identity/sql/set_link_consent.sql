-- Mirror the standing of profile.link where it differs.
UPDATE identity.identifier i SET link_consent = r.state
FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, state text)
WHERE i.id = r.id AND i.link_consent <> r.state
RETURNING i.id;
