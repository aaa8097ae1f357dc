-- What was computed of the events of the people of these ids, and for which purpose.
SELECT t.key, t.name, t.purpose, v.value, v.events, v.computed_at
FROM app.computed_value v
JOIN app.computed_trait t ON t.id = v.trait_id
WHERE v.subject_id = ANY(CAST(:people AS bigint[]))
  AND t.computed_at IS NOT NULL -- else it is of the definition before, and nobody reads it
ORDER BY t.key, v.subject_id;
