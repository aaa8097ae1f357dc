-- Let go of what a removed destination was for: what waits is not sent, and it is no processor. What it
-- was told stays. So does whom it may hold, but for the ids by which nothing can be asked of it any
-- more.
WITH unsent AS (
  UPDATE app.delivery SET state = 'dropped', ended_at = CAST(:at AS timestamptz),
         reason = CAST(:reason AS text)
  WHERE destination_id = :destination AND state = 'waiting'
), unfollowed AS (
  UPDATE app.held_record SET remote = NULL, remote_hash = NULL, digest = NULL
  WHERE destination_id = :destination
)
DELETE FROM app.processor WHERE destination_id = :destination;
