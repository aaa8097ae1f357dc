-- The next consent records to be sealed, in commit order: those after a mark whose transaction is
-- below the oldest one still running, so that no late commit is skipped. `body` is everything of a
-- record but its place. The first condition lets the index of transactions find the place.
SELECT r.id, r.namespace, r.value, r.purpose, CAST(r.purpose_version AS text) AS purpose_version,
       r.state, to_char(r.order_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"') AS order_time,
       r.collected_by, r.notice ->> 'body_sha256' AS notice,
       CAST(r.transaction AS text) AS transaction, r.seq,
       CAST(to_jsonb(r) - 'transaction' AS text) AS body
FROM consent.record r
WHERE r.transaction >= CAST(CAST(:transaction AS text) AS xid8)
  AND (r.transaction, r.seq) > (CAST(CAST(:transaction AS text) AS xid8), CAST(:seq AS bigint))
  AND r.transaction < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY r.transaction, r.seq
LIMIT :most;
