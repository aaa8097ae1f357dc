-- Delete all stays of erased people, and count them no more; the segments are locked.
WITH gone AS (
  DELETE FROM app.segment_member WHERE person_id = ANY(CAST(:people AS bigint[]))
  RETURNING segment_id, left_at
), fewer AS (
  UPDATE app.segment s SET members = s.members - g.members
  FROM (SELECT segment_id, count(*) AS members FROM gone WHERE left_at IS NULL
        GROUP BY segment_id) g
  WHERE s.id = g.segment_id
)
SELECT count(*) FROM gone;
