-- What is said of these identifiers' being in accounts, in one (:account) or in all, with the call
-- that says so.
SELECT m.identifier_id, a.id, a.account_id, a.type, a.key, a.first_seen_at, m.joined_at,
       m.joined_message_id, j.name AS joined_source,
       CASE WHEN m.left_at >= m.joined_at THEN m.left_at END AS left_at,
       CASE WHEN m.left_at >= m.joined_at THEN m.left_message_id END AS left_message_id
FROM app.account_member m
JOIN app.account a ON a.id = m.account_id
LEFT JOIN app.source j ON j.id = m.joined_source_id
WHERE m.identifier_id = ANY(CAST(:identifiers AS bigint[])) AND m.joined_at IS NOT NULL
  AND NOT (:purpose = ANY(m.refused))
  AND (CAST(:account AS bigint) IS NULL OR a.id = CAST(:account AS bigint))
ORDER BY a.type, a.key, m.joined_at, m.identifier_id;
