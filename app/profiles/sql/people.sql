-- A page of people: those identifiers that a person is named after, or an asserted group.
SELECT person_id, identifier_id AS subject_id, profile_id
FROM identity.current_person
WHERE identifier_id = CASE WHEN CAST(:groups AS boolean) THEN group_id ELSE person_id END
  AND identifier_id > :after
ORDER BY identifier_id
LIMIT :limit;
