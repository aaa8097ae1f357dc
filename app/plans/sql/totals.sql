-- How many violations of a plan there were, by what was done about them.
WITH every AS (
    SELECT version_id, source_id, hour, type, event, keyword, action, events
    FROM app.plan_violation
    UNION ALL
    SELECT version_id, source_id, date_trunc('hour', first_at), type, event, keyword, action, events
    FROM app.plan_violation_arrival
)
SELECT e.action, sum(e.events) AS violations
FROM every e
JOIN app.tracking_plan_version v ON v.id = e.version_id
JOIN app.source s ON s.id = e.source_id
WHERE v.plan_id = :plan_id
  AND e.hour >= date_trunc('hour', CAST(:since AS timestamptz))
  AND e.hour < CAST(:until AS timestamptz)
  AND (CAST(:source AS text) IS NULL OR s.name = :source)
  AND (CAST(:version AS bigint) IS NULL OR v.number = :version)
  AND (CAST(:type AS text) IS NULL OR e.type = :type)
  AND (CAST(:event AS text) IS NULL OR e.event = :event)
  AND (CAST(:keyword AS text) IS NULL OR e.keyword = :keyword)
  AND (CAST(:action AS text) IS NULL OR e.action = :action)
GROUP BY e.action;
