-- Where each identifier belongs, from which others it is kept apart, and what the guards look at.
SELECT i.group_id, i.person_id, i.settled,
       (SELECT array_agg(c.right_id) FROM identity.cannot_link c WHERE c.left_id = i.id) AS apart,
       i.id, i.namespace, i.link_consent, r.fields ->> 'first_name' AS first_name,
       r.fields ->> 'last_name' AS last_name, r.fields ->> 'birth_date' AS birth_date
FROM identity.identifier i
LEFT JOIN identity.record r ON r.identifier_id = i.id
WHERE i.id = ANY(CAST(:ids AS bigint[]));
