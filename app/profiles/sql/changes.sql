-- The feed after a mark, in commit order; what is still being committed is not read past.
SELECT c.id, CAST(c.transaction AS text) AS stream_transaction, c.type, c.person_id, c.profile_id,
       c.at, c.data
FROM app.change c
WHERE (c.transaction, c.id) > (CAST(CAST(:transaction AS text) AS xid8), :id)
  AND c.transaction < pg_snapshot_xmin(pg_current_snapshot())
  AND (CAST(:types AS text[]) IS NULL OR c.type = ANY(CAST(:types AS text[])))
ORDER BY c.transaction, c.id
LIMIT :limit;
