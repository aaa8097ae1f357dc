-- Remember an assertion of a client, unless it is known or the client has too many that count.
WITH known AS (
  SELECT count(*) AS number, min(expires_at) AS first_ends
  FROM app.client_assertion WHERE client_id = CAST(:client AS bigint)
), taken AS (
  INSERT INTO app.client_assertion (client_id, token_hash, expires_at)
  SELECT CAST(:client AS bigint), CAST(:token AS bytea), CAST(:expires_at AS timestamptz)
  FROM known WHERE number < CAST(:most AS bigint)
  ON CONFLICT DO NOTHING
  RETURNING 1
)
SELECT EXISTS (SELECT FROM taken) AS taken, number >= CAST(:most AS bigint) AS full, first_ends
FROM known;
