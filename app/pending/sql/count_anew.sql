-- Replace the changes of what is held by a count of it. Both parts see one snapshot, and a writer
-- commits events and change together: what commits meanwhile stays as a change of its own.
WITH gone AS (DELETE FROM app.held_room)
INSERT INTO app.held_room (source_id, events, bytes)
SELECT source_id, count(*), sum(octet_length(sealed)) FROM app.held GROUP BY source_id;
