-- Since when the oldest of what takes use away waits for the journal of refusals, if any does.
SELECT least(
  (SELECT min(r.recorded_at)
   FROM consent.record r
   WHERE r.transaction >= CAST(CAST(:transaction AS text) AS xid8)
     AND (r.transaction, r.seq) > (CAST(CAST(:transaction AS text) AS xid8), CAST(:seq AS bigint))
     AND r.transaction < pg_snapshot_xmin(pg_current_snapshot()) AND r.state <> 'given'),
  (SELECT min(changed_at) FROM consent.journal_due)) AS since;
