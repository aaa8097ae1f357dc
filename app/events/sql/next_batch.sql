-- The events after a reader's mark, in commit order.
SELECT e.id, CAST(e.transaction AS text) AS stream_transaction, e.source_id, e.message_id, e.type,
       e.name, e.identifier_id, e.identifier_ids, e.occurred_at, e.received_at, e.source_seq,
       e.refused, CAST(e.properties AS text) AS properties, CAST(e.context AS text) AS context
FROM app.event e, app.progress p
WHERE p.reader = :reader
  AND (e.transaction, e.id) > (p.transaction, p.event_id)
  AND e.transaction < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY e.transaction, e.id
LIMIT :limit;
