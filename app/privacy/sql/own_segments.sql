-- The segments that the people of these ids are or were in.
SELECT s.key, s.name, s.purpose, s.rule, m.entered_at, m.left_at, m.why_left
FROM app.segment_member m
JOIN app.segment s ON s.id = m.segment_id
WHERE m.person_id = ANY(CAST(:people AS bigint[]))
ORDER BY m.entered_at, s.key;
