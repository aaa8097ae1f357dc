-- The next records after a mark, in commit order, below the oldest transaction that still runs: what
-- the journal of refusals says of those that take use away, nothing of the others. Of these the mark
-- alone goes on, or each look would read them again.
SELECT CAST(r.transaction AS text) AS transaction, r.seq, r.namespace, r.value,
       CASE WHEN r.state <> 'given' THEN
         to_jsonb(r) - ARRAY['transaction', 'seq', 'namespace', 'value', 'account_wide', 'stamp',
                             'unproven', 'guardian', 'proof', 'valid_until'] END AS said
FROM consent.record r
WHERE r.transaction >= CAST(CAST(:transaction AS text) AS xid8)
  AND (r.transaction, r.seq) > (CAST(CAST(:transaction AS text) AS xid8), CAST(:seq AS bigint))
  AND r.transaction < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY r.transaction, r.seq
LIMIT :most;
