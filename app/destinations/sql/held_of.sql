-- Where a record is held of these people, or of an asserted group of one of them, and can be followed.
-- A trait of those who have :changed is nothing to who is sent none: a webhook's mapping is empty.
SELECT h.destination_id, h.person_id, h.profile_id
FROM app.held_record h
JOIN app.destination d ON d.id = h.destination_id AND d.removed_at IS NULL
JOIN identity.current_person p ON p.identifier_id = h.person_id
WHERE (p.person_id = ANY(CAST(:people AS bigint[]))
       OR p.person_id = ANY(CAST(:changed AS bigint[])) AND d.mapping <> CAST('{}' AS jsonb))
  AND cardinality(h.segments) > 0
ORDER BY h.destination_id, h.person_id;
