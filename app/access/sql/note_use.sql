-- Remember when keys were last used. The rows are locked in one order, so that two server
-- processes that write at once cannot wait for each other.
WITH used AS (
    SELECT id, at FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, at timestamptz)
), locked AS (
    SELECT k.id FROM app.write_key k JOIN used USING (id) ORDER BY k.id FOR NO KEY UPDATE OF k
)
UPDATE app.write_key k SET last_used_at = greatest(k.last_used_at, used.at)
FROM used JOIN locked USING (id)
WHERE k.id = used.id;
