-- Take the oldest of what must be looked at again; what a change of rules asks for comes last, since
-- a million of these must not keep a refusal waiting. MATERIALIZED, because a plan may run a
-- subquery of IN once per row, and would then take more than :limit.
WITH oldest AS MATERIALIZED (
  SELECT id FROM app.touched ORDER BY (why = 'identity'), id LIMIT :limit FOR UPDATE SKIP LOCKED)
DELETE FROM app.touched t USING oldest
WHERE t.id = oldest.id
RETURNING t.id, t.identifier_id, t.why, t.details;
