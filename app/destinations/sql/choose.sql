-- The destination that has waited longest for its turn, of those that have something due, is enabled
-- and not at rest; it is ours until :lease. SKIP LOCKED lets several workers choose at once, and NO
-- KEY, because whoever queues a message holds its key.
WITH chosen AS MATERIALIZED (
  SELECT e.id FROM app.destination e
  WHERE e.enabled AND e.not_before <= :now
    AND EXISTS (SELECT FROM app.delivery d
                WHERE d.destination_id = e.id AND d.state = 'waiting' AND d.due_at <= :now)
  ORDER BY e.not_before, e.id
  LIMIT 1
  FOR NO KEY UPDATE OF e SKIP LOCKED)
UPDATE app.destination t SET not_before = :lease
FROM chosen WHERE t.id = chosen.id
RETURNING t.id, t.kind, t.rate;
