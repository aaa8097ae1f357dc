-- Everything that is said of the traits of some accounts, by whom, but what was stamped against the
-- purpose.
SELECT t.account_id, t.key, t.value, t.occurred_at, t.received_at, t.source_seq, t.event_id,
       t.message_id, s.name AS source, t.identifier_id, i.person_id, i.group_id, i.namespace,
       i.value AS value_of
FROM app.account_trait t
JOIN app.source s ON s.id = t.source_id
JOIN identity.current_person i ON i.identifier_id = t.identifier_id
WHERE t.account_id = ANY(CAST(:accounts AS bigint[]))
  AND NOT (:purpose = ANY(t.refused));
