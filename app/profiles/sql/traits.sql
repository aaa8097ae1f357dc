-- Everything these identifiers' events say of traits, but what was stamped against the purpose.
SELECT t.identifier_id, t.key, t.value, t.occurred_at, t.received_at, t.source_seq, t.event_id,
       t.message_id, s.name AS source, i.namespace, i.value AS value_of
FROM app.trait t
JOIN app.source s ON s.id = t.source_id
JOIN identity.current_person i ON i.identifier_id = t.identifier_id
WHERE t.identifier_id = ANY(CAST(:identifiers AS bigint[]))
  AND NOT (:purpose = ANY(t.refused));
