-- The counters of some sources since :day, and apart since :hour.
SELECT source_id, outcome, reason,
       sum(events) AS day,
       coalesce(sum(events) FILTER (WHERE at >= :hour), 0) AS hour
FROM app.tally
WHERE source_id = ANY(:source_ids) AND at >= :day
GROUP BY source_id, outcome, reason
ORDER BY source_id, outcome, reason;
