-- A page of the people (or asserted groups) of whom an identifier is, or was, in an account.
SELECT DISTINCT CASE WHEN CAST(:groups AS boolean) THEN i.group_id ELSE i.person_id END AS subject_id
FROM app.account_member m
JOIN identity.current_person i ON i.identifier_id = m.identifier_id
WHERE m.account_id = :account AND m.joined_at IS NOT NULL AND NOT (:purpose = ANY(m.refused))
  AND CASE WHEN CAST(:groups AS boolean) THEN i.group_id ELSE i.person_id END > :after
ORDER BY 1
LIMIT :limit;
