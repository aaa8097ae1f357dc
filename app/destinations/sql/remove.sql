-- Let go of what a removed destination was for: what waits is not sent, and it is no processor. What it
-- was told stays. So does whom it may hold, but for the ids by which nothing can be asked of it any
-- more.
WITH unsent AS (
  UPDATE app.delivery SET state = 'dropped', ended_at = CAST(:at AS timestamptz),
         reason = CAST(:reason AS text)
  WHERE destination_id = :destination AND state = 'waiting'
), unfollowed AS (
  UPDATE app.held_record
  SET remote = NULL, remote_hash = NULL, digest = NULL, also = NULL, key_hash = NULL, absent = false
  WHERE destination_id = :destination AND (NOT absent OR remote IS NOT NULL OR also IS NOT NULL)
), never_told AS (
  DELETE FROM app.held_record
  WHERE destination_id = :destination AND absent AND remote IS NULL AND also IS NULL
)
DELETE FROM app.processor WHERE destination_id = :destination;
