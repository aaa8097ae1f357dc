-- Have the events of these subjects looked at now.
UPDATE app.held
SET due_at = clock_timestamp()
WHERE subjects && CAST(:subjects AS bytea[])
  AND (due_at IS NULL OR due_at > clock_timestamp());
