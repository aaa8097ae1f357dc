-- Keep what a computed trait is for the people asked about, forget it for those of them who have
-- nothing any more, and return for whom it is another value than before. The statement of the definition takes the place of what is between the marks.
WITH result AS MATERIALIZED (
-- <definition
  SELECT subject_id, value, events, basis, due_at FROM app.computed_value
-- definition>
), before AS (
  SELECT subject_id, CAST(value AS text) AS value FROM app.computed_value
  WHERE trait_id = CAST(:trait AS bigint) AND subject_id = ANY(CAST(:asked AS bigint[]))
), gone AS (
  DELETE FROM app.computed_value v
  WHERE v.trait_id = CAST(:trait AS bigint) AND v.subject_id = ANY(CAST(:asked AS bigint[]))
    AND NOT EXISTS (SELECT FROM result r WHERE r.subject_id = v.subject_id)
), kept AS (
INSERT INTO app.computed_value AS v
  (trait_id, subject_id, value, events, basis, computed_at, due_at)
SELECT CAST(:trait AS bigint), subject_id, value, events, basis, CAST(:at AS timestamptz), due_at
FROM result
ORDER BY subject_id
ON CONFLICT (trait_id, subject_id) DO UPDATE
   SET value = excluded.value, events = excluded.events, basis = excluded.basis,
       computed_at = excluded.computed_at, due_at = excluded.due_at
 WHERE (CAST(v.value AS text), v.events, v.basis, v.due_at)
       IS DISTINCT FROM
       (CAST(excluded.value AS text), excluded.events, excluded.basis, excluded.due_at)
)
SELECT subject_id FROM before b FULL JOIN result r USING (subject_id)
WHERE b.value IS DISTINCT FROM CAST(r.value AS text);
