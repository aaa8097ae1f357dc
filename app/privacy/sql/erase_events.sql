-- Delete the events in which these identifiers act, and note them for the lake; return their
-- message ids, under which violations of tracking plans may name them.
WITH gone AS (
  DELETE FROM app.event WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
  RETURNING id, message_id
), noted AS (
  INSERT INTO app.lake_removal AS r (event_id) SELECT id FROM gone
  ON CONFLICT (event_id) DO UPDATE SET again = false
)
SELECT count(*) AS events, coalesce(array_agg(message_id), '{}') AS message_ids FROM gone;
