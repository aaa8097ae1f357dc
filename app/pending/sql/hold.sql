-- Hold events that are not held yet and for which there is room, and say of each what became of
-- it. Room is reckoned in the order of arrival from sums that other writers add to without a lock
-- (app.held_room). :rows have the hash of the message under each key, because keys rotate.
WITH wanted AS (
  SELECT r.*,
         NOT EXISTS (SELECT FROM app.held h
                     WHERE h.source_id = r.source_id
                       AND h.message = ANY (r.earlier || r.message)) AS fresh
  FROM json_to_recordset(CAST(:rows AS json)) AS r(
         place bigint, source_id bigint, message bytea, earlier bytea[], subjects bytea[],
         received_at timestamptz, expires_at timestamptz, key_id bytea, sealed bytea)
), taken AS (
  SELECT source_id, sum(events) AS events, sum(bytes) AS bytes
  FROM app.held_room
  WHERE source_id IN (SELECT source_id FROM wanted)
  GROUP BY source_id
), fitting AS (
  SELECT w.*,
         coalesce(t.events, 0) + count(*) FILTER (WHERE w.fresh) OVER before <= :most_events
           AND coalesce(t.bytes, 0)
               + coalesce(sum(octet_length(w.sealed)) FILTER (WHERE w.fresh) OVER before, 0)
               <= :most_bytes AS fits
  FROM wanted w LEFT JOIN taken t USING (source_id)
  WINDOW before AS (PARTITION BY w.source_id ORDER BY w.place)
), new AS (
  INSERT INTO app.held (source_id, message, subjects, received_at, expires_at, key_id, sealed)
  SELECT source_id, message, subjects, received_at, expires_at, key_id, sealed
  FROM fitting
  WHERE fresh AND fits
  ORDER BY source_id, message
  ON CONFLICT (source_id, message) DO NOTHING
  RETURNING source_id, message, octet_length(sealed) AS size
), noted AS (
  INSERT INTO app.held_room (source_id, events, bytes)
  SELECT source_id, count(*), sum(size) FROM new GROUP BY source_id
)
SELECT f.place,
       CASE WHEN new.message IS NOT NULL THEN 'held'
            WHEN f.fresh AND NOT f.fits THEN 'full'
            ELSE 'duplicate' END AS state
FROM fitting f LEFT JOIN new ON new.source_id = f.source_id AND new.message = f.message;
