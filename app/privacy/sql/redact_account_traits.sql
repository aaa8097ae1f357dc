-- Write these traits of accounts as they are without an erased person.
UPDATE app.account_trait t
SET value = CAST(r.value AS json)
FROM json_to_recordset(CAST(:rows AS json)) AS r(
       account_id bigint, identifier_id bigint, key text, refused text[], source_id bigint,
       value text)
WHERE t.account_id = r.account_id AND t.identifier_id = r.identifier_id AND t.key = r.key
  AND t.refused = r.refused AND t.source_id = r.source_id;
