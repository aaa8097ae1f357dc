-- Let go of what a removed destination was for: what waits is not sent, what it holds is not followed
-- any more, and it is no processor. What it was told stays.
WITH unsent AS (
  UPDATE app.delivery SET state = 'dropped', ended_at = CAST(:at AS timestamptz), reason = :reason
  WHERE destination_id = :destination AND state = 'waiting'
), unfollowed AS (
  DELETE FROM app.held_record WHERE destination_id = :destination
)
DELETE FROM app.processor WHERE destination_id = :destination;
