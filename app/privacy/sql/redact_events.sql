-- Write these events of a partition as they are without an erased person, and have the lake take
-- them anew.
WITH changed AS (
  UPDATE app.event e
  SET message_id = r.message_id, name = r.name, user_id = r.user_id,
      anonymous_id = r.anonymous_id, identifier_ids = r.identifier_ids,
      properties = CAST(r.properties AS json), context = CAST(r.context AS json),
      rest = CAST(r.rest AS json)
  FROM json_to_recordset(CAST(:rows AS json)) AS r(
         id bigint, message_id text, name text, user_id text, anonymous_id text,
         identifier_ids bigint[], properties text, context text, rest text)
  WHERE e.part = :part AND e.id = r.id
  RETURNING e.id
)
INSERT INTO app.lake_removal AS l (event_id, again) SELECT id, true FROM changed
ON CONFLICT (event_id) DO NOTHING;
