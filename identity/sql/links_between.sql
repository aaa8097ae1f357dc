-- The links that touch identifiers of both of two people, the oldest first, whatever became of them.
SELECT l.id
FROM identity.identifier a
JOIN identity.link l ON l.left_id = a.id OR l.right_id = a.id
JOIN identity.identifier b ON b.id = CASE WHEN l.left_id = a.id THEN l.right_id ELSE l.left_id END
WHERE a.person_id = :one AND b.person_id = :other
ORDER BY l.id;
