-- Who told these traits of the accounts that these people are or were in, of each the :most latest, but
-- what was stamped against the purpose. By the index: of 100,000 who told one, the first are read.
SELECT l.account_id, l.key, l.identifier_id, p.person_id
FROM (SELECT DISTINCT m.account_id, k.key
      FROM identity.current_person i
      JOIN app.account_member m ON m.identifier_id = i.identifier_id
      CROSS JOIN unnest(CAST(:keys AS text[])) k(key)
      WHERE i.person_id = ANY(CAST(:people AS bigint[]))) asked
CROSS JOIN LATERAL (
  SELECT t.account_id, t.key, t.identifier_id
  FROM app.account_trait t
  WHERE t.account_id = asked.account_id AND t.key = asked.key AND NOT (:purpose = ANY(t.refused))
  ORDER BY least(t.occurred_at, t.received_at) DESC, coalesce(t.source_seq, 4611686018427387903) DESC,
           t.received_at DESC, t.event_id DESC
  LIMIT CAST(:most AS bigint)) l
JOIN identity.current_person p ON p.identifier_id = l.identifier_id;
