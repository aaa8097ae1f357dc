-- What the projected events of these identifiers say of these traits, one by one; and what traits
-- hold of events that retention has deleted since.
WITH mark AS MATERIALIZED (
  SELECT p.transaction, p.event_id FROM app.progress p WHERE p.reader = 'pipeline'
), said AS MATERIALIZED (
  SELECT e.identifier_id, k.key,
         ARRAY(SELECT r FROM unnest(e.refused) r ORDER BY r COLLATE "C") AS refused,
         e.properties -> k.key AS value, e.occurred_at, e.received_at, e.source_seq,
         e.id AS event_id, e.message_id, e.source_id
  FROM app.event e
  CROSS JOIN unnest(CAST(:keys AS text[])) k(key)
  WHERE e.identifier_id = ANY(CAST(:identifiers AS bigint[])) AND e.type = 'identify'
    AND (e.transaction, e.id) <= ((SELECT transaction FROM mark), (SELECT event_id FROM mark))
    AND (e.properties -> k.key) IS NOT NULL
    AND NOT app.barred(e.refused, '')  -- an event that serves one purpose alone is in no profile
)
SELECT identifier_id, key, refused, CAST(value AS text) AS value, occurred_at, received_at,
       source_seq, event_id, message_id, source_id
FROM said
UNION ALL
SELECT t.identifier_id, t.key, t.refused, CAST(t.value AS text), t.occurred_at, t.received_at,
       t.source_seq, t.event_id, t.message_id, t.source_id
FROM app.trait t
WHERE t.identifier_id = ANY(CAST(:identifiers AS bigint[])) AND t.key = ANY(CAST(:keys AS text[]))
  AND NOT EXISTS (SELECT FROM said s WHERE s.event_id = t.event_id AND s.key = t.key
                    AND s.identifier_id = t.identifier_id);
