-- Write these traits as they are without an erased person.
UPDATE app.trait t
SET value = CAST(r.value AS json)
FROM json_to_recordset(CAST(:rows AS json)) AS r(
       identifier_id bigint, key text, refused text[], source_id bigint, value text)
WHERE t.identifier_id = r.identifier_id AND t.key = r.key AND t.refused = r.refused
  AND t.source_id = r.source_id;
