-- Have the worker look again at these identifiers, and wake it with the commit.
WITH touched AS (
  INSERT INTO app.touched (identifier_id, why, details)
  SELECT identifier_id, why, details
  FROM json_to_recordset(CAST(:rows AS json)) AS r(identifier_id bigint, why text, details jsonb)
)
SELECT pg_notify(:channel, '');
