-- Every value that these identifiers' events ever set for these traits, with its first and last
-- time, but what was stamped against the purpose.
SELECT v.identifier_id, v.key, v.value, v.times, v.first_occurred_at, v.first_received_at,
       v.first_source_seq, v.first_event_id, v.first_message_id, f.name AS first_source,
       v.last_occurred_at, v.last_received_at, v.last_source_seq, v.last_event_id,
       v.last_message_id, l.name AS last_source, i.namespace, i.value AS value_of
FROM app.trait_value v
JOIN app.source f ON f.id = v.first_source_id
JOIN app.source l ON l.id = v.last_source_id
JOIN identity.current_person i ON i.identifier_id = v.identifier_id
WHERE v.identifier_id = ANY(CAST(:identifiers AS bigint[])) AND v.key = ANY(CAST(:keys AS text[]))
  AND NOT (:purpose = ANY(v.refused));
