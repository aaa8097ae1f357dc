-- Lock how much a source has had kept in this minute, and return it; a new minute begins at none.
-- One row per source, so that the bound needs neither a count of rows nor a clean-up.
INSERT INTO app.rejected_room AS room (source_id, minute_at, events, bytes)
VALUES (:source_id, date_trunc('minute', CAST(:at AS timestamptz)), 0, 0)
ON CONFLICT (source_id) DO UPDATE SET
  events = CASE WHEN room.minute_at < excluded.minute_at THEN 0 ELSE room.events END,
  bytes = CASE WHEN room.minute_at < excluded.minute_at THEN 0 ELSE room.bytes END,
  minute_at = greatest(room.minute_at, excluded.minute_at)
RETURNING events, bytes;
