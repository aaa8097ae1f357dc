-- The events after a reader's mark, in commit order. The mark is read by subqueries: joined, it
-- would keep PostgreSQL from merging the partitions in order, and each batch would sort all that
-- waits. Partitions that were closed before the mark hold nothing more and are left out.
WITH mark AS MATERIALIZED (
  SELECT p.transaction, p.event_id,
         (SELECT coalesce(max(c.part), 0) FROM app.event_partition c
          WHERE c.closed_by <= p.transaction) AS passed
  FROM app.progress p WHERE p.reader = :reader)
SELECT e.id, CAST(e.transaction AS text) AS stream_transaction, e.source_id, e.message_id, e.type,
       e.name, e.identifier_id, e.identifier_ids, e.occurred_at, e.received_at, e.source_seq,
       e.refused, CAST(e.properties AS text) AS properties, CAST(e.context AS text) AS context
FROM app.event e
WHERE (e.transaction, e.id) > ((SELECT transaction FROM mark), (SELECT event_id FROM mark))
  AND e.transaction < pg_snapshot_xmin(pg_current_snapshot())
  AND e.part > (SELECT passed FROM mark)
ORDER BY e.transaction, e.id
LIMIT :limit;
