-- These events of a partition as they are now, which nobody else writes until the end of the
-- transaction. What an erasure has locked is left out: to wait for it, with others locked, would be a
-- deadlock where it waits for these.
SELECT CAST(e.transaction AS text) AS transaction, e.id, e.identifier_id, e.refused,
       least(e.occurred_at, e.received_at) AS at
FROM app.event e
JOIN unnest(CAST(:transactions AS text[]), CAST(:ids AS bigint[])) AS x(transaction, id)
  ON e.transaction = CAST(x.transaction AS xid8) AND e.id = x.id
WHERE e.part = :part
ORDER BY e.transaction, e.id
FOR UPDATE OF e SKIP LOCKED;
