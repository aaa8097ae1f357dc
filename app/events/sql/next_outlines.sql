-- What resolving and projecting need of the events after a reader's mark, in commit order: of
-- properties those of identify and group calls and of Segment's event of who was removed from an
-- account, since those of a page view would be fetched and unpacked for nothing. Otherwise as
-- next_batch.sql, which says why.
WITH mark AS MATERIALIZED (
  SELECT p.transaction, p.event_id,
         (SELECT coalesce(max(c.part), 0) FROM app.event_partition c
          WHERE c.closed_by <= p.transaction) AS passed
  FROM app.progress p WHERE p.reader = :reader)
SELECT e.id, CAST(e.transaction AS text) AS stream_transaction, e.source_id, e.type,
       e.identifier_ids, e.occurred_at, e.received_at, e.source_seq, e.refused,
       CASE WHEN e.type IN ('identify', 'group') OR e.name = 'Account Removed User'
            THEN e.message_id END AS message_id,
       CASE WHEN e.type = 'identify' THEN CAST(e.properties AS text) END AS traits,
       CASE WHEN e.type = 'group' THEN e.rest ->> 'groupId'
            WHEN e.type = 'track' AND e.name = 'Account Removed User'
            THEN e.context ->> 'groupId' END AS group_id,
       CASE WHEN e.type = 'group' OR e.type = 'track' AND e.name = 'Account Removed User'
            THEN CAST(e.properties AS text) END AS group_traits
FROM app.event e
WHERE (e.transaction, e.id) > ((SELECT transaction FROM mark), (SELECT event_id FROM mark))
  AND e.transaction < pg_snapshot_xmin(pg_current_snapshot())
  AND e.part > (SELECT passed FROM mark)
ORDER BY e.transaction, e.id
LIMIT :limit;
