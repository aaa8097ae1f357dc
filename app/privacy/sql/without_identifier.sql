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
), grouped AS (
  UPDATE app.account_member m SET identifier_id = :main
  WHERE m.identifier_id = :old
    AND NOT EXISTS (SELECT FROM app.account_member o
                    WHERE o.account_id = m.account_id AND o.identifier_id = :main
                      AND o.refused = m.refused)
), group_trait AS (
  UPDATE app.account_trait t SET identifier_id = :main
  WHERE t.identifier_id = :old
    AND NOT EXISTS (SELECT FROM app.account_trait o
                    WHERE o.account_id = t.account_id AND o.identifier_id = :main
                      AND o.key = t.key AND o.refused = t.refused AND o.source_id = t.source_id)
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
