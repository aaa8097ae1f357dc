-- Take messages of one destination that are due, the first of each person only, and hold them until
-- :lease. MATERIALIZED, because a plan may run a subquery of IN once per row, and then takes far more
-- than :limit (40 instead of 8, measured).
WITH due AS MATERIALIZED (
  SELECT c.id FROM app.delivery c
  WHERE c.destination_id = :destination AND c.state = 'waiting' AND c.due_at <= :now
    AND NOT EXISTS (
      SELECT FROM app.delivery b
      WHERE b.destination_id = c.destination_id AND b.person_id = c.person_id
        AND b.state = 'waiting' AND b.id < c.id)
  ORDER BY c.due_at, c.id
  LIMIT :limit
  FOR UPDATE OF c SKIP LOCKED)
UPDATE app.delivery d SET due_at = :lease, attempts = attempts + 1
FROM due
WHERE d.id = due.id
RETURNING d.id, d.message_id, d.person_id, d.profile_id, d.type, d.payload, d.attempts,
          d.created_at, d.reason, d.sent, d.told;
