-- Take an identifier that others have too out of the events in which one person's others act.
WITH event AS (
  UPDATE app.event e
  SET identifier_ids = array_remove(e.identifier_ids, CAST(:old AS bigint))
  WHERE e.identifier_ids @> ARRAY[CAST(:old AS bigint)]
    AND e.identifier_id = ANY(CAST(:ids AS bigint[]))
  RETURNING e.id
)
INSERT INTO app.lake_removal AS l (event_id, again) SELECT id, true FROM event
ON CONFLICT (event_id) DO NOTHING;
