-- Lock held events for one look at them. Once its time is over an event is never looked at again,
-- however late the job is that deletes it.
SELECT id, source_id, message, received_at, expires_at, key_id, sealed
FROM app.held
WHERE id = ANY (CAST(:ids AS bigint[])) AND expires_at > clock_timestamp()
ORDER BY received_at, id
FOR UPDATE SKIP LOCKED;
