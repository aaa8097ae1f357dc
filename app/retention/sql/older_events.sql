-- The next :limit events of a partition that happened before :before and whose readers are past
-- them, with whose they are. Time of the event, not of its arrival; one from the future counts from
-- its arrival.
SELECT CAST(e.transaction AS text) AS transaction, e.id, e.identifier_id, e.refused,
       least(e.occurred_at, e.received_at) AS at
FROM app.event e
WHERE e.part = :part
  AND (e.transaction, e.id) > (CAST(CAST(:transaction AS text) AS xid8), CAST(:id AS bigint))
  AND least(e.occurred_at, e.received_at) < :before
  AND NOT EXISTS (SELECT FROM app.progress p
                  WHERE p.reader IN ('pipeline', 'lake')
                    AND (p.transaction, p.event_id) < (e.transaction, e.id))
ORDER BY e.transaction, e.id
LIMIT :limit;
