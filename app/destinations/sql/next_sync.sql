-- The sync whose turn is next: the first asked for of each destination that is enabled, the one that
-- has waited longest for a portion.
SELECT s.id, s.destination_id, s.stage, s.place
FROM app.destination_sync s
JOIN app.destination d ON d.id = s.destination_id AND d.enabled AND d.removed_at IS NULL
WHERE s.ended_at IS NULL AND s.due_at <= clock_timestamp()
  AND NOT EXISTS (
    SELECT FROM app.destination_sync before
    WHERE before.destination_id = s.destination_id AND before.id < s.id AND before.ended_at IS NULL)
ORDER BY s.due_at, s.id
LIMIT 1;
