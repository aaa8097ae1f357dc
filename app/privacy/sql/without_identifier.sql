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
), member AS (
  DELETE FROM app.account_member WHERE identifier_id = :old RETURNING *
), grouped AS (
  -- Both may be in one account: the stay is that of the two, as app/profiles/sql/account_members.
  INSERT INTO app.account_member AS m
    (account_id, identifier_id, refused, joined_at, joined_message_id, joined_source_id, seen_at,
     left_at, left_message_id, left_source_id)
  SELECT account_id, :main, refused, joined_at, joined_message_id, joined_source_id, seen_at,
         left_at, left_message_id, left_source_id
  FROM member
  ON CONFLICT (account_id, identifier_id, refused) DO UPDATE
  SET (joined_at, joined_message_id, joined_source_id) =
        (SELECT x.at, x.message_id, x.source_id
         FROM (VALUES (m.joined_at, m.joined_message_id, m.joined_source_id),
                      (excluded.joined_at, excluded.joined_message_id, excluded.joined_source_id))
              x(at, message_id, source_id)
         ORDER BY x.at NULLS LAST, x.message_id LIMIT 1),
      seen_at = greatest(m.seen_at, excluded.seen_at),
      (left_at, left_message_id, left_source_id) =
        (SELECT x.at, x.message_id, x.source_id
         FROM (VALUES (m.left_at, m.left_message_id, m.left_source_id),
                      (excluded.left_at, excluded.left_message_id, excluded.left_source_id))
              x(at, message_id, source_id)
         ORDER BY x.at DESC NULLS LAST, x.message_id DESC LIMIT 1)
), group_told AS (
  DELETE FROM app.account_trait WHERE identifier_id = :old RETURNING *
), group_trait AS (
  INSERT INTO app.account_trait AS t
    (account_id, identifier_id, key, refused, value, occurred_at, received_at, source_seq, event_id,
     message_id, source_id)
  SELECT account_id, :main, key, refused, value, occurred_at, received_at, source_seq, event_id,
         message_id, source_id
  FROM group_told
  ON CONFLICT (account_id, identifier_id, key, refused, source_id) DO UPDATE
  SET value = excluded.value, occurred_at = excluded.occurred_at,
      received_at = excluded.received_at, source_seq = excluded.source_seq,
      event_id = excluded.event_id, message_id = excluded.message_id
  WHERE (least(excluded.occurred_at, excluded.received_at),
         coalesce(excluded.source_seq, 4611686018427387903), excluded.received_at,
         excluded.event_id)
      > (least(t.occurred_at, t.received_at),
         coalesce(t.source_seq, 4611686018427387903), t.received_at, t.event_id)
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
