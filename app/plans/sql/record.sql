-- Append what one batch adds to the violations; no row is ever updated here, so no writer waits.
INSERT INTO app.plan_violation_arrival (version_id, source_id, type, event, pointer, keyword,
                                        action, invented, events, first_at, last_at, message_id)
SELECT version_id, source_id, type, event, pointer, keyword,
       action, invented, events, first_at, last_at, message_id
FROM json_to_recordset(CAST(:rows AS json)) AS r(
       version_id bigint, source_id bigint, type text, event text, pointer text, keyword text,
       action text, invented boolean, events bigint, first_at timestamptz, last_at timestamptz,
       message_id text);
