-- What is said of these identifiers' being in accounts, in one (:account) or in all, with the call
-- that says so. Who was removed, by whatever identifier of theirs, is in it no more.
SELECT m.identifier_id, a.id, a.account_id, a.type, a.key, m.joined_at, m.joined_message_id,
       s.name AS joined_source, m.seen_at, gone.at AS left_at
FROM app.account_member m
JOIN app.account a ON a.id = m.account_id
JOIN app.source s ON s.id = m.joined_source_id
JOIN identity.current_person i ON i.identifier_id = m.identifier_id
CROSS JOIN LATERAL (
  SELECT max(o.left_at) AS at
  FROM identity.current_person p
  JOIN app.account_member o ON o.identifier_id = p.identifier_id AND o.account_id = m.account_id
  WHERE p.person_id = i.person_id
) gone
WHERE m.identifier_id = ANY(CAST(:identifiers AS bigint[])) AND m.joined_at IS NOT NULL
  AND NOT (:purpose = ANY(m.refused))
  AND (CAST(:account AS bigint) IS NULL OR a.id = CAST(:account AS bigint))
ORDER BY a.type, a.key, m.joined_at, m.identifier_id;
