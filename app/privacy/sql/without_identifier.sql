-- Have what one identifier brought be another's of the same person.
WITH event AS (
  UPDATE app.event e
  SET identifier_id = CASE WHEN e.identifier_id = :old THEN :main ELSE e.identifier_id END,
      identifier_ids = CASE WHEN e.identifier_id = :old
                            THEN CAST(:main AS bigint) || array_remove(
                                   array_remove(e.identifier_ids, CAST(:old AS bigint)),
                                   CAST(:main AS bigint))
                            ELSE array_remove(e.identifier_ids, CAST(:old AS bigint)) END
  WHERE e.identifier_ids @> ARRAY[CAST(:old AS bigint)]
  RETURNING e.id
), copied AS (
  INSERT INTO app.lake_removal AS l (event_id, again) SELECT id, true FROM event
  ON CONFLICT (event_id) DO NOTHING
), touched AS (
  DELETE FROM app.touched WHERE identifier_id = :old
), trait AS (
  DELETE FROM app.trait t WHERE t.identifier_id = :old
  RETURNING t.*
)
INSERT INTO app.trait (identifier_id, key, refused, value, occurred_at, received_at, source_seq,
                       event_id, message_id, source_id)
SELECT :main, key, refused, value, occurred_at, received_at, source_seq, event_id, message_id,
       source_id
FROM trait
ON CONFLICT DO NOTHING;
