-- Set traits; a value stands until one of a later event of its source replaces it. An event counts
-- from when it was received at the latest: a clock that is years ahead must not speak the last word
-- for years.
INSERT INTO app.trait AS t (identifier_id, key, refused, value, occurred_at, received_at,
                            source_seq, event_id, message_id, source_id)
SELECT identifier_id, key, refused, coalesce(value, 'null'), occurred_at, received_at, source_seq,
       event_id, message_id, source_id
FROM json_to_recordset(CAST(:rows AS json)) AS r(
       identifier_id bigint, key text, refused text[], value json, occurred_at timestamptz,
       received_at timestamptz, source_seq bigint, event_id bigint, message_id text, source_id bigint)
ON CONFLICT (identifier_id, key, refused, source_id) DO UPDATE
   SET value = excluded.value, occurred_at = excluded.occurred_at,
       received_at = excluded.received_at, source_seq = excluded.source_seq,
       event_id = excluded.event_id, message_id = excluded.message_id
 WHERE (least(excluded.occurred_at, excluded.received_at),
        coalesce(excluded.source_seq, 4611686018427387903), excluded.received_at, excluded.event_id)
     > (least(t.occurred_at, t.received_at),
        coalesce(t.source_seq, 4611686018427387903), t.received_at, t.event_id)
RETURNING identifier_id;
