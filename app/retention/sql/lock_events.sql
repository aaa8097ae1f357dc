-- What stands beside these events of a partition now, which nobody else writes until the end of the
-- transaction: an erasure may have written it since it was read. What one has locked is left out:
-- to wait for it, with others locked, would be a deadlock where it waits for these.
SELECT CAST(e.transaction AS text) AS transaction, e.id, e.refused, e.identifier_id,
       CAST(e.rest AS text) AS rest
FROM app.event e
JOIN unnest(CAST(:transactions AS text[]), CAST(:ids AS bigint[])) AS x(transaction, id)
  ON e.transaction = CAST(x.transaction AS xid8) AND e.id = x.id
WHERE e.part = :part AND e.rest IS NOT NULL
ORDER BY e.transaction, e.id
FOR UPDATE OF e SKIP LOCKED;
