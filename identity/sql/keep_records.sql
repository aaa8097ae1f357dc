-- Fold attributes into what an identifier's events said before, and return of whom something else is
-- known now. Of each field the value that was said last stands, of one time the greater one, so
-- that people never hang on the order in which events arrive; what was kept without its time counts
-- as older than all. Who says nothing that counts is left out first, because a conflict would lock
-- and so rewrite the row: one that says the same later is rewritten for its time, without a touch
-- to the indexes.
WITH told AS MATERIALIZED (
  SELECT r.identifier_id, n.fields, n.said_at,
         known.fields IS DISTINCT FROM coalesce(known.fields, '{}') || n.fields AS changed
  FROM json_to_recordset(CAST(:rows AS json))
       AS r(identifier_id bigint, fields jsonb, said_at jsonb)
  LEFT JOIN LATERAL (
    SELECT k.fields, k.said_at FROM identity.record k
    WHERE k.identifier_id = r.identifier_id LIMIT 1
  ) known ON true
  CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(f.key, f.value) AS fields,
           jsonb_object_agg(f.key, r.said_at -> f.key) AS said_at
    FROM jsonb_each_text(r.fields) f
    WHERE known.fields ->> f.key IS NULL
       OR (CAST(r.said_at ->> f.key AS bigint), f.value COLLATE "C")
        > (coalesce(CAST(known.said_at ->> f.key AS bigint), -9223372036854775808),
           (known.fields ->> f.key) COLLATE "C")
  ) n
  WHERE n.fields IS NOT NULL
), kept AS (
  INSERT INTO identity.record AS k (identifier_id, fields, said_at, changed_at)
  SELECT t.identifier_id, t.fields, t.said_at, clock_timestamp() FROM told t
  ORDER BY t.identifier_id
  ON CONFLICT (identifier_id) DO UPDATE
     SET fields = k.fields || excluded.fields, said_at = k.said_at || excluded.said_at,
         changed_at = CASE WHEN k.fields = k.fields || excluded.fields
                           THEN k.changed_at ELSE excluded.changed_at END,
         keys = CASE WHEN k.fields = k.fields || excluded.fields THEN k.keys END
)
SELECT identifier_id FROM told WHERE changed;
