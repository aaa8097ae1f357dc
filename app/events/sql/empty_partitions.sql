-- Closed partitions whose message ids no longer count, that every reader has passed.
SELECT p.part
FROM app.event_partition p
WHERE p.closed_by <= (SELECT min(transaction) FROM app.progress
                      WHERE reader IN ('pipeline', 'lake'))
  AND NOT p.deduplicates
ORDER BY p.part;
