-- Who came back after being removed is in an account since the first call after that: of the few
-- who ever were removed, and whom these calls name, it is looked up among their events.
UPDATE app.account_member m
SET joined_at = back.at, joined_message_id = back.message_id, joined_source_id = back.source_id
FROM (
  SELECT DISTINCT a.id, a.key, a.type, r.identifier_id, r.refused
  FROM json_to_recordset(CAST(:rows AS json)) AS r(
         type text, key text, identifier_id bigint, refused text[])
  JOIN app.account a ON a.type = r.type AND a.key = r.key
) named
JOIN app.account_member was
  ON was.account_id = named.id AND was.identifier_id = named.identifier_id
 AND was.refused = named.refused AND was.seen_at > was.left_at
CROSS JOIN LATERAL (
  SELECT least(e.occurred_at, e.received_at) AS at, e.message_id, e.source_id
  FROM app.event e
  WHERE e.identifier_id = was.identifier_id AND e.occurred_at > was.left_at AND e.type = 'group'
    AND e.rest ->> 'groupId' = named.key
    AND coalesce(CASE json_typeof(e.properties -> 'group_type') WHEN 'string' THEN
                   substring(lower(e.properties ->> 'group_type') FROM '^[a-z][a-z0-9_]{0,39}$')
                 END, 'account') = named.type
    AND ARRAY(SELECT x FROM unnest(e.refused) x ORDER BY x COLLATE "C") = was.refused
    AND least(e.occurred_at, e.received_at) > was.left_at
  ORDER BY 1, 2 LIMIT 1
) back
WHERE m.account_id = was.account_id AND m.identifier_id = was.identifier_id
  AND m.refused = was.refused;
