-- How to reach these people, by the identifiers that may be used for it.
SELECT i.person_id, p.profile_id, i.identifier_id, i.namespace, i.value
FROM identity.current_person i
JOIN identity.current_person p ON p.identifier_id = i.person_id
WHERE i.identifier_id = ANY(CAST(:identifiers AS bigint[]))
ORDER BY i.person_id, i.namespace, i.value;
