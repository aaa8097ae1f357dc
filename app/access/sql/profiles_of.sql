-- The profile of the person that each of these identifiers belongs to.
SELECT i.identifier_id, p.profile_id
FROM identity.current_person i
JOIN identity.current_person p ON p.identifier_id = i.person_id
WHERE i.identifier_id = ANY(CAST(:identifiers AS bigint[]));
