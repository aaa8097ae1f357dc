-- The identifiers of people.
SELECT identifier_id, namespace, value, group_id, person_id, link_consent, first_seen_at
FROM identity.current_person
WHERE person_id = ANY(CAST(:people AS bigint[]))
ORDER BY person_id, identifier_id;
