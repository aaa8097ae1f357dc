-- Every identifier of the people whom the next steps of the pipeline will look at again.
SELECT DISTINCT m.identifier_id
FROM app.touched t
JOIN identity.current_person i ON i.identifier_id = t.identifier_id
JOIN identity.current_person m ON m.person_id = i.person_id
WHERE t.why <> 'untold'; -- of whom is told again; nothing about them is otherwise
