-- Add to the values of traits what events say: how often each was said, and its first and last time.
-- By windows and not by a join of first and last, which PostgreSQL, guessing 100 rows, did row by row.
WITH said AS (
  SELECT r.*, coalesce(r.value, 'null') AS told,
         md5(CAST(CAST(coalesce(r.value, 'null') AS jsonb) AS text)) AS digest,
         least(r.occurred_at, r.received_at) AS at,
         coalesce(r.source_seq, 4611686018427387903) AS place
  FROM json_to_recordset(CAST(:rows AS json)) AS r(
         identifier_id bigint, key text, refused text[], value json, occurred_at timestamptz,
         received_at timestamptz, source_seq bigint, event_id bigint, message_id text,
         source_id bigint)
)
INSERT INTO app.trait_value AS t
SELECT DISTINCT ON (identifier_id, key, refused, digest)
       identifier_id, key, refused, digest, told, count(*) OVER w,
       last_value(occurred_at) OVER w, last_value(received_at) OVER w,
       last_value(source_seq) OVER w, last_value(event_id) OVER w,
       last_value(message_id) OVER w, last_value(source_id) OVER w,
       occurred_at, received_at, source_seq, event_id, message_id, source_id
FROM said
WINDOW w AS (PARTITION BY identifier_id, key, refused, digest
             ORDER BY at DESC, place DESC, received_at DESC, event_id DESC
             ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
ORDER BY identifier_id, key, refused, digest, at DESC, place DESC, received_at DESC, event_id DESC
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
