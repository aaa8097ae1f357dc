-- Add to the values of traits what events say: how often each was said, and its first and last time.
WITH said AS (
  SELECT r.identifier_id, r.key, r.refused, coalesce(r.value, 'null') AS value,
         md5(CAST(CAST(coalesce(r.value, 'null') AS jsonb) AS text)) AS digest,
         r.occurred_at, r.received_at, r.source_seq, r.event_id, r.message_id, r.source_id,
         least(r.occurred_at, r.received_at) AS at,
         coalesce(r.source_seq, 4611686018427387903) AS place
  FROM json_to_recordset(CAST(:rows AS json)) AS r(
         identifier_id bigint, key text, refused text[], value json, occurred_at timestamptz,
         received_at timestamptz, source_seq bigint, event_id bigint, message_id text,
         source_id bigint)
), ranked AS (
  SELECT *,
         count(*) OVER (PARTITION BY identifier_id, key, refused, digest) AS times,
         row_number() OVER (PARTITION BY identifier_id, key, refused, digest
                            ORDER BY at, place, received_at, event_id) AS up,
         row_number() OVER (PARTITION BY identifier_id, key, refused, digest
                            ORDER BY at DESC, place DESC, received_at DESC, event_id DESC) AS down
  FROM said
)
INSERT INTO app.trait_value AS t
SELECT f.identifier_id, f.key, f.refused, f.digest, l.value, f.times,
       f.occurred_at, f.received_at, f.source_seq, f.event_id, f.message_id, f.source_id,
       l.occurred_at, l.received_at, l.source_seq, l.event_id, l.message_id, l.source_id
FROM ranked f
JOIN ranked l USING (identifier_id, key, refused, digest)
WHERE f.up = 1 AND l.down = 1
ORDER BY f.identifier_id, f.key, f.refused, f.digest
ON CONFLICT (identifier_id, key, refused, digest) DO UPDATE
SET times = t.times + excluded.times,
    (first_occurred_at, first_received_at, first_source_seq, first_event_id, first_message_id,
     first_source_id) = (
      SELECT x.* FROM (VALUES
        (t.first_occurred_at, t.first_received_at, t.first_source_seq, t.first_event_id,
         t.first_message_id, t.first_source_id),
        (excluded.first_occurred_at, excluded.first_received_at, excluded.first_source_seq,
         excluded.first_event_id, excluded.first_message_id, excluded.first_source_id)
      ) x(occurred_at, received_at, source_seq, event_id, message_id, source_id)
      ORDER BY least(occurred_at, received_at), coalesce(source_seq, 4611686018427387903),
               received_at, event_id
      LIMIT 1),
    (value, last_occurred_at, last_received_at, last_source_seq, last_event_id, last_message_id,
     last_source_id) = (
      SELECT x.* FROM (VALUES
        (t.value, t.last_occurred_at, t.last_received_at, t.last_source_seq, t.last_event_id,
         t.last_message_id, t.last_source_id),
        (excluded.value, excluded.last_occurred_at, excluded.last_received_at,
         excluded.last_source_seq, excluded.last_event_id, excluded.last_message_id,
         excluded.last_source_id)
      ) x(value, occurred_at, received_at, source_seq, event_id, message_id, source_id)
      ORDER BY least(occurred_at, received_at) DESC,
               coalesce(source_seq, 4611686018427387903) DESC, received_at DESC, event_id DESC
      LIMIT 1);
