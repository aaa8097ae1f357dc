-- Have the worker look again at these identifiers, and wake it with the commit. Who is to be
-- computed anew because rules changed is noted once, however often that is asked for.
WITH touched AS (
  INSERT INTO app.touched (identifier_id, why, details)
  SELECT identifier_id, why, details
  FROM json_to_recordset(CAST(:rows AS json)) AS r(identifier_id bigint, why text, details jsonb)
  ON CONFLICT (identifier_id) WHERE why = 'identity' DO NOTHING
)
SELECT pg_notify(:channel, '');
