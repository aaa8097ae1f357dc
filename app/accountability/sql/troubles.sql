-- Destinations that were switched off or did not take what was sent to them.
SELECT d.name AS destination, d.enabled, d.why_disabled,
       count(m.id) FILTER (WHERE m.state = 'failed') AS failed,
       count(m.id) FILTER (WHERE m.state = 'waiting' AND m.attempts > 0) AS tried_and_waiting
FROM app.destination d
LEFT JOIN app.delivery m ON m.destination_id = d.id
WHERE d.removed_at IS NULL
GROUP BY d.id
HAVING NOT d.enabled
    OR count(m.id) FILTER (WHERE m.state = 'failed'
                              OR m.state = 'waiting' AND m.attempts > 0) > 0
ORDER BY d.name;
