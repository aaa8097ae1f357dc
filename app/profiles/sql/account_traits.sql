-- Set traits of accounts, as project.sql sets those of people; return the members of the accounts of
-- which something is another value now, :most at the most.
WITH said AS (
  SELECT a.id AS account_id, r.identifier_id, t.key, r.refused, t.value, r.occurred_at,
         r.received_at, r.source_seq, r.event_id, r.message_id, r.source_id
  FROM json_to_recordset(CAST(:rows AS json)) AS r(
         type text, key text, identifier_id bigint, refused text[], occurred_at timestamptz,
         received_at timestamptz, source_seq bigint, event_id bigint, message_id text,
         source_id bigint, traits json)
  JOIN app.account a ON a.type = r.type AND a.key = r.key
  CROSS JOIN LATERAL json_each(r.traits) t
), latest AS (
  SELECT DISTINCT ON (account_id, identifier_id, key, refused, source_id) *
  FROM said
  ORDER BY account_id, identifier_id, key, refused, source_id,
           least(occurred_at, received_at) DESC, coalesce(source_seq, 4611686018427387903) DESC,
           received_at DESC, event_id DESC
), stood AS (
  SELECT t.account_id, t.identifier_id, t.key, t.refused, t.source_id, CAST(t.value AS text) AS value
  FROM app.account_trait t
  JOIN latest l USING (account_id, identifier_id, key, refused, source_id)
), changed AS (
  INSERT INTO app.account_trait AS t
    (account_id, identifier_id, key, refused, value, occurred_at, received_at, source_seq, event_id,
     message_id, source_id)
  SELECT account_id, identifier_id, key, refused, value, occurred_at, received_at, source_seq,
         event_id, message_id, source_id
  FROM latest
  ON CONFLICT (account_id, identifier_id, key, refused, source_id) DO UPDATE
     SET value = excluded.value, occurred_at = excluded.occurred_at,
         received_at = excluded.received_at, source_seq = excluded.source_seq,
         event_id = excluded.event_id, message_id = excluded.message_id
   WHERE (least(excluded.occurred_at, excluded.received_at),
          coalesce(excluded.source_seq, 4611686018427387903), excluded.received_at,
          excluded.event_id)
       > (least(t.occurred_at, t.received_at),
          coalesce(t.source_seq, 4611686018427387903), t.received_at, t.event_id)
  RETURNING account_id, identifier_id, key, refused, source_id, CAST(value AS text) AS value
)
SELECT m.identifier_id
FROM (SELECT DISTINCT account_id
      FROM changed c
      LEFT JOIN stood s USING (account_id, identifier_id, key, refused, source_id)
      WHERE s.value IS DISTINCT FROM c.value) other
JOIN app.account_member m USING (account_id)
LIMIT CAST(:most AS bigint);
