-- Note that these messages leave, or may: what each says, and under which id.
UPDATE app.delivery d
SET sent = true, told = decode(r.told, 'hex'), message_id = r.message_id
FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, told text, message_id uuid)
WHERE d.id = r.id AND (NOT d.sent OR d.told IS DISTINCT FROM decode(r.told, 'hex'));
