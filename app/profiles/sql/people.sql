-- A page of people: those identifiers that a person is named after.
SELECT identifier_id AS person_id, profile_id
FROM identity.current_person
WHERE identifier_id = person_id AND identifier_id > :after
ORDER BY identifier_id
LIMIT :limit;
