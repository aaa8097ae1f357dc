-- What the guards need to know of each identifier, and from which others it is kept apart.
SELECT i.id, i.namespace, i.link_consent, i.group_id, i.person_id,
       r.fields ->> 'first_name' AS first_name, r.fields ->> 'last_name' AS last_name,
       r.fields ->> 'birth_date' AS birth_date,
       (SELECT array_agg(c.right_id) FROM identity.cannot_link c WHERE c.left_id = i.id) AS apart
FROM identity.identifier i
LEFT JOIN identity.record r ON r.identifier_id = i.id
WHERE i.id = ANY(CAST(:ids AS bigint[]));
