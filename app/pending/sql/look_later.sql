-- Set when each event is looked at again; NULL waits for a word of one of its subjects.
UPDATE app.held h
SET due_at = r.due_at
FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, due_at timestamptz)
WHERE h.id = r.id;
