-- Whose events say that they are or were in some accounts, but what was stamped against the purpose.
SELECT DISTINCT m.account_id, m.identifier_id, i.person_id, i.group_id
FROM app.account_member m
JOIN identity.current_person i ON i.identifier_id = m.identifier_id
WHERE m.account_id = ANY(CAST(:accounts AS bigint[])) AND NOT (:purpose = ANY(m.refused));
