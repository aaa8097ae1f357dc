-- Whose events say that they are or were in some accounts, of each the :most known last, but what was
-- stamped against the purpose.
SELECT l.account_id, l.identifier_id, i.person_id, i.group_id
FROM unnest(CAST(:accounts AS bigint[])) a(id)
CROSS JOIN LATERAL (
  SELECT DISTINCT m.account_id, m.identifier_id
  FROM app.account_member m
  WHERE m.account_id = a.id AND NOT (:purpose = ANY(m.refused))
  ORDER BY m.identifier_id DESC
  LIMIT CAST(:most AS bigint)) l
JOIN identity.current_person i ON i.identifier_id = l.identifier_id;
