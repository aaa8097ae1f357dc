-- Write these events with the right value, and have the lake take them anew.
WITH changed AS (
  UPDATE app.event e
  SET properties = CAST(r.properties AS json)
  FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, part bigint, properties text)
  WHERE e.part = r.part AND e.id = r.id
  RETURNING e.id
)
INSERT INTO app.lake_removal AS l (event_id, again) SELECT id, true FROM changed
ON CONFLICT (event_id) DO NOTHING;
