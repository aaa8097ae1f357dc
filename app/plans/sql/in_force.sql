-- The version in force for a source: the newest published one of its plan. One index look-up per
-- source and 2 seconds.
SELECT v.id
FROM app.tracking_plan_source s
JOIN app.tracking_plan_version v ON v.plan_id = s.plan_id
WHERE s.source_id = :source_id
  AND v.published_at IS NOT NULL
ORDER BY v.number DESC
LIMIT 1;
