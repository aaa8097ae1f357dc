-- The first and the last event of each of these identifiers, but those stamped against the purpose.
SELECT i.identifier_id, f.message_id AS first_message_id, fs.name AS first_source,
       l.message_id AS last_message_id, ls.name AS last_source, l.received_at AS last_at
FROM unnest(CAST(:identifiers AS bigint[])) i(identifier_id)
CROSS JOIN LATERAL (
  SELECT e.message_id, e.source_id FROM app.event e
  WHERE e.identifier_id = i.identifier_id AND NOT app.barred(e.refused, :purpose)
  ORDER BY e.occurred_at LIMIT 1
) f
CROSS JOIN LATERAL (
  SELECT e.message_id, e.source_id, e.received_at FROM app.event e
  WHERE e.identifier_id = i.identifier_id AND NOT app.barred(e.refused, :purpose)
  ORDER BY e.occurred_at DESC LIMIT 1
) l
JOIN app.source fs ON fs.id = f.source_id
JOIN app.source ls ON ls.id = l.source_id;
