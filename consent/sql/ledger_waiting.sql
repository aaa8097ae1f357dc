-- When the next record to be sealed was recorded, which no row says when none waits.
SELECT r.recorded_at
FROM consent.record r
WHERE r.transaction >= CAST(CAST(:transaction AS text) AS xid8)
  AND (r.transaction, r.seq) > (CAST(CAST(:transaction AS text) AS xid8), CAST(:seq AS bigint))
ORDER BY r.transaction, r.seq
LIMIT 1;
