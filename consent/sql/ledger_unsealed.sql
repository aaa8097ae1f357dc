-- Records that no entry of the ledger tells of, though one should: how many, and the first of them.
-- `slipped_in` stand before the mark; `unbegun` name a transaction that nobody has begun, which the
-- sealer would never come to; `waiting` are older than :before, and so is the last checkpoint.
SELECT count(*) FILTER (WHERE u.what = 'slipped_in') AS slipped_in,
       count(*) FILTER (WHERE u.what = 'unbegun') AS unbegun,
       count(*) FILTER (WHERE u.what = 'waiting') AS waiting,
       CAST((array_agg(u.id ORDER BY u.transaction, u.seq) FILTER (WHERE u.what = 'slipped_in'))[1]
            AS text) AS first_slipped_in,
       CAST((array_agg(u.id ORDER BY u.transaction, u.seq) FILTER (WHERE u.what = 'unbegun'))[1]
            AS text) AS first_unbegun,
       CAST((array_agg(u.id ORDER BY u.transaction, u.seq) FILTER (WHERE u.what = 'waiting'))[1]
            AS text) AS first_waiting
FROM (
  SELECT r.id, r.transaction, r.seq, 'slipped_in' AS what
  FROM consent.record r
  WHERE (r.transaction, r.seq) <= (CAST(CAST(:transaction AS text) AS xid8), CAST(:seq AS bigint))
    AND NOT EXISTS (SELECT FROM consent.ledger_entry e WHERE e.about = r.id)
  UNION ALL
  SELECT r.id, r.transaction, r.seq, 'unbegun'
  FROM consent.record r
  WHERE r.transaction >= pg_snapshot_xmax(pg_current_snapshot())
  UNION ALL
  SELECT r.id, r.transaction, r.seq, 'waiting'
  FROM consent.record r
  WHERE r.transaction >= CAST(CAST(:transaction AS text) AS xid8)
    AND (r.transaction, r.seq) > (CAST(CAST(:transaction AS text) AS xid8), CAST(:seq AS bigint))
    AND r.transaction < pg_snapshot_xmin(pg_current_snapshot())
    AND r.recorded_at < CAST(:before AS timestamptz)
    AND coalesce(CAST(:signed_at AS timestamptz), '-infinity') < CAST(:before AS timestamptz)
) u;
