-- The latest stay of who was ever removed from an account begins with the first call after the last
-- removal before it: of those few, as far as these calls name them, it is looked up among events.
WITH named AS (
  SELECT DISTINCT a.id AS account_id, a.key, a.type, r.identifier_id
  FROM json_to_recordset(CAST(:rows AS json)) AS r(type text, key text, identifier_id bigint)
  JOIN app.account a ON a.type = r.type AND a.key = r.key
  WHERE EXISTS (SELECT FROM app.account_member m
                WHERE m.account_id = a.id AND m.identifier_id = r.identifier_id
                  AND m.left_at IS NOT NULL)
), call AS (
  SELECT n.account_id, n.identifier_id, e.type <> 'group' AS "left",
         least(e.occurred_at, e.received_at) AS at, e.message_id, e.source_id,
         ARRAY(SELECT x FROM unnest(e.refused) x ORDER BY x COLLATE "C") AS refused
  FROM named n
  JOIN app.event e ON e.identifier_id = n.identifier_id
   AND NOT app.barred(e.refused, '')
   AND (e.type = 'group' AND e.rest ->> 'groupId' = n.key
        OR e.type = 'track' AND e.name = 'Account Removed User' AND e.context ->> 'groupId' = n.key)
   AND coalesce(CASE json_typeof(e.properties -> 'group_type') WHEN 'string' THEN
                  substring(lower(e.properties ->> 'group_type') FROM '^[a-z][a-z0-9_]{0,39}$')
                END, 'account') = n.type
), stay AS (
  SELECT DISTINCT ON (c.account_id, c.identifier_id, c.refused) c.*
  FROM app.account_member m
  JOIN call c USING (account_id, identifier_id, refused)
  WHERE NOT c."left"
    AND c.at > coalesce((SELECT max(o.at) FROM call o
                         WHERE o.account_id = m.account_id AND o.identifier_id = m.identifier_id
                           AND o."left" AND o.at < m.seen_at), '-infinity')
  ORDER BY c.account_id, c.identifier_id, c.refused, c.at, c.message_id
)
UPDATE app.account_member m
SET joined_at = stay.at, joined_message_id = stay.message_id, joined_source_id = stay.source_id
FROM stay
WHERE m.account_id = stay.account_id AND m.identifier_id = stay.identifier_id
  AND m.refused = stay.refused;
