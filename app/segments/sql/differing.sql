-- For whom the open stays in segments are not what their rules say. The statement that makes `met`
-- takes the place of what is between the marks.
WITH met AS (
-- <met
  SELECT person_id, array_agg(segment_id) AS ids FROM app.segment_member GROUP BY person_id)
-- met>
, open AS (
  SELECT person_id, array_agg(segment_id ORDER BY segment_id) AS ids
  FROM app.segment_member
  WHERE left_at IS NULL AND segment_id = ANY(CAST(:segments AS bigint[]))
  GROUP BY person_id
)
SELECT person_id
FROM met FULL JOIN open USING (person_id)
WHERE coalesce(met.ids, '{}') IS DISTINCT FROM coalesce(open.ids, '{}');
