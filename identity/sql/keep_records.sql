-- Fold new attributes into what an identifier's events said before; the later value stands.
INSERT INTO identity.record AS k (identifier_id, fields, changed_at)
SELECT r.identifier_id, r.fields, clock_timestamp()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(identifier_id bigint, fields jsonb)
ORDER BY r.identifier_id
ON CONFLICT (identifier_id) DO UPDATE
   SET fields = k.fields || excluded.fields, changed_at = excluded.changed_at
 WHERE k.fields IS DISTINCT FROM k.fields || excluded.fields
RETURNING identifier_id;
