-- Kinds of violation with their counts, in the order of what names them, which is what the cursor
-- holds: counts grow while somebody reads. What no compaction has seen yet is in it.
WITH every AS (
    SELECT version_id, source_id, hour, type, event, pointer, keyword, action, events, first_at,
           last_at, message_id
    FROM app.plan_violation
    UNION ALL
    SELECT version_id, source_id, date_trunc('hour', first_at), type, event, pointer, keyword,
           action, events, first_at, last_at, message_id
    FROM app.plan_violation_arrival
)
SELECT v.number AS version, s.name AS source, e.type, e.event, e.pointer, e.keyword, e.action,
       CAST(sum(e.events) AS bigint) AS events, min(e.first_at) AS first_at,
       max(e.last_at) AS last_at, (array_agg(e.message_id ORDER BY e.last_at DESC))[1] AS message_id
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
  AND (NOT CAST(:paged AS boolean)
       OR (v.number, s.name, e.type, e.event, e.pointer, e.keyword, e.action)
        > (CAST(:after_version AS bigint), :after_source, :after_type, :after_event,
           :after_pointer, :after_keyword, :after_action))
GROUP BY 1, 2, 3, 4, 5, 6, 7
ORDER BY 1, 2, 3, 4, 5, 6, 7
LIMIT :limit;
