-- Records that should be in the ledger and are not: how many, and the first of them.
SELECT count(*) AS records, CAST((array_agg(r.id ORDER BY r.transaction, r.seq))[1] AS text) AS first
FROM consent.record r
WHERE (r.transaction, r.seq) <= (CAST(CAST(:transaction AS text) AS xid8), CAST(:seq AS bigint))
  AND NOT EXISTS (SELECT FROM consent.ledger_entry e WHERE e.about = r.id);
