-- A page of the members of a segment.
SELECT m.person_id, i.profile_id, m.entered_at
FROM app.segment_member m
JOIN identity.current_person i ON i.identifier_id = m.person_id
WHERE m.segment_id = :segment_id AND m.left_at IS NULL AND m.person_id > :after
ORDER BY m.person_id
LIMIT :limit;
