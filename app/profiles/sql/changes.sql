-- The feed after a mark, in its order; what may still be committed before a change is not read past.
-- It looks at :window changes at most, and says at which it ended: each poll for a type that seldom comes
-- read everything from its mark, 105 ms of 1,000,000 changes, and now 12 ms of 10,000, once.
WITH looked AS MATERIALIZED (
  SELECT c.id, c.transaction, c.type FROM app.change c
  WHERE (c.transaction, c.id) > (CAST(CAST(:transaction AS text) AS xid8), :id)
    AND c.transaction < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY c.transaction, c.id
  LIMIT :window
), found AS (
  SELECT id FROM looked
  WHERE CAST(:types AS text[]) IS NULL OR type = ANY(CAST(:types AS text[]))
  ORDER BY transaction, id
  LIMIT :limit
)
SELECT CAST(last.transaction AS text) AS last_transaction, last.id AS last_id, last.looked,
       c.id, CAST(c.transaction AS text) AS stream_transaction, c.type, c.person_id, c.profile_id,
       c.at, c.data
FROM (SELECT transaction, id, count(*) OVER () AS looked FROM looked
      ORDER BY transaction DESC, id DESC LIMIT 1) last
LEFT JOIN (found JOIN app.change c ON c.id = found.id) ON true
ORDER BY c.transaction, c.id;
