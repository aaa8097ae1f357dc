-- Identifiers, and all that share a reach with some: where each belongs, and what guards look at.
SELECT i.reach_id, i.group_id, i.person_id, i.settled,
       (SELECT array_agg(c.right_id) FROM identity.cannot_link c WHERE c.left_id = i.id) AS apart,
       i.id, i.namespace, i.link_consent, r.fields ->> 'first_name' AS first_name,
       r.fields ->> 'last_name' AS last_name, r.fields ->> 'birth_date' AS birth_date,
       coalesce(lower(i.value) = ANY(s.blocked) OR EXISTS (
         SELECT FROM unnest(s.blocked_patterns) p WHERE i.value ~ p), false) AS blocked,
       i.closed,
       EXISTS (SELECT FROM identity.link d WHERE d.left_id = i.id AND d.kind = 'manual')
         OR EXISTS (SELECT FROM identity.link d WHERE d.right_id = i.id AND d.kind = 'manual')
         AS decided
FROM identity.identifier i
LEFT JOIN identity.record r ON r.identifier_id = i.id
LEFT JOIN identity.namespace s ON s.name = i.namespace
WHERE i.id = ANY(CAST(:ids AS bigint[]))
   OR i.reach_id = ANY(ARRAY(SELECT t.reach_id FROM identity.identifier t
                             WHERE t.id = ANY(CAST(:around AS bigint[]))));
