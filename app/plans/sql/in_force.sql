-- The version in force for each source that has a plan: the newest published one of its plan.
SELECT s.source_id, max(v.id) AS version_id
FROM app.tracking_plan_source s
JOIN app.tracking_plan_version v ON v.plan_id = s.plan_id
WHERE v.published_at IS NOT NULL
GROUP BY s.source_id;
