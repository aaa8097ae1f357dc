-- The events that must be looked at, in the order in which they came.
SELECT id
FROM app.held
WHERE due_at <= clock_timestamp() AND expires_at > clock_timestamp()
ORDER BY due_at, received_at, id
LIMIT :limit;
