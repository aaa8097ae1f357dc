-- Who is in an account, or was removed from it, by these calls: first and last times, which come out
-- the same in any order; account_rejoined.sql sees to who came back. A removal counts for every
-- purpose, whatever its stamp: it is kept where no purpose was refused.
WITH said AS (
  SELECT a.id AS account_id, r.identifier_id, r."left", least(r.occurred_at, r.received_at) AS at,
         CASE WHEN r."left" THEN '{}' ELSE r.refused END AS refused, r.message_id, r.source_id
  FROM json_to_recordset(CAST(:rows AS json)) AS r(
         type text, key text, identifier_id bigint, refused text[], "left" boolean,
         occurred_at timestamptz, received_at timestamptz, message_id text, source_id bigint)
  JOIN app.account a ON a.type = r.type AND a.key = r.key
), joined AS (
  SELECT DISTINCT ON (account_id, identifier_id, refused) account_id, identifier_id, refused, at,
         message_id, source_id,
         max(at) OVER (PARTITION BY account_id, identifier_id, refused) AS seen_at
  FROM said WHERE NOT "left"
  ORDER BY account_id, identifier_id, refused, at, message_id
), removed AS (
  SELECT DISTINCT ON (account_id, identifier_id, refused) account_id, identifier_id, refused, at,
         message_id, source_id
  FROM said WHERE "left"
  ORDER BY account_id, identifier_id, refused, at DESC, message_id DESC
)
INSERT INTO app.account_member AS m
  (account_id, identifier_id, refused, joined_at, joined_message_id, joined_source_id, seen_at,
   left_at, left_message_id, left_source_id)
SELECT account_id, identifier_id, refused, j.at, j.message_id, j.source_id, j.seen_at,
       r.at, r.message_id, r.source_id
FROM joined j FULL JOIN removed r USING (account_id, identifier_id, refused)
ORDER BY account_id, identifier_id, refused
ON CONFLICT (account_id, identifier_id, refused) DO UPDATE
SET (joined_at, joined_message_id, joined_source_id) =
      (SELECT x.at, x.message_id, x.source_id
       FROM (VALUES (m.joined_at, m.joined_message_id, m.joined_source_id),
                    (excluded.joined_at, excluded.joined_message_id, excluded.joined_source_id))
            x(at, message_id, source_id)
       ORDER BY x.at NULLS LAST, x.message_id LIMIT 1),
    seen_at = greatest(m.seen_at, excluded.seen_at),
    (left_at, left_message_id, left_source_id) =
      (SELECT x.at, x.message_id, x.source_id
       FROM (VALUES (m.left_at, m.left_message_id, m.left_source_id),
                    (excluded.left_at, excluded.left_message_id, excluded.left_source_id))
            x(at, message_id, source_id)
       ORDER BY x.at DESC NULLS LAST, x.message_id DESC LIMIT 1);
