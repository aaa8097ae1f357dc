-- What became of the events of all sources since :hour.
SELECT outcome, reason, sum(events) AS events
FROM app.tally
WHERE at >= :hour
GROUP BY outcome, reason
ORDER BY outcome, reason;
