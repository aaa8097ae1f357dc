-- Write what stands beside these events of a partition. The lake does not have it. By transaction
-- and id, which have an index: by the id alone each batch would read the whole partition (5,000 of
-- 300,000 events: 505 ms instead of 240).
UPDATE app.event e
SET rest = CAST(r.rest AS json)
FROM json_to_recordset(CAST(:rows AS json)) AS r(transaction text, id bigint, rest text)
WHERE e.part = :part AND e.transaction = CAST(r.transaction AS xid8) AND e.id = r.id;
