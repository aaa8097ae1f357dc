-- Fold new attributes into what an identifier's events said before; the later value stands. Who says
-- nothing new is left out first, because a conflict would lock and so rewrite the row.
INSERT INTO identity.record AS k (identifier_id, fields, changed_at)
SELECT r.identifier_id, r.fields, clock_timestamp()
FROM json_to_recordset(CAST(:rows AS json)) AS r(identifier_id bigint, fields jsonb)
LEFT JOIN LATERAL (
  SELECT k.fields FROM identity.record k WHERE k.identifier_id = r.identifier_id LIMIT 1
) known ON true
WHERE known.fields IS NULL OR known.fields IS DISTINCT FROM known.fields || r.fields
ORDER BY r.identifier_id
ON CONFLICT (identifier_id) DO UPDATE
   SET fields = k.fields || excluded.fields, changed_at = excluded.changed_at, keys = NULL
 WHERE k.fields IS DISTINCT FROM k.fields || excluded.fields
RETURNING identifier_id;
