-- Who was told what about the people of these ids, and when.
SELECT d.name AS recipient, d.purpose, m.type AS what, m.payload ->> 'segment' AS segment, m.state,
       coalesce(m.ended_at, m.created_at) AS at
FROM app.delivery m
JOIN app.destination d ON d.id = m.destination_id
WHERE m.person_id = ANY(CAST(:people AS bigint[])) AND m.attempts > 0
ORDER BY at, m.id;
