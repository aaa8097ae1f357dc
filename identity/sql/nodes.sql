-- Identifiers, and all that share a reach with some, as one JSON text: where each belongs, whom it
-- must be apart from, and what guards look at. A person is within a reach that is named after its
-- own first member, so the index of reaches holds only those who are not of the person of that name.
WITH around AS MATERIALIZED (
  SELECT ARRAY(SELECT DISTINCT t.reach_id FROM identity.identifier t
               WHERE t.id = ANY(CAST(:around AS bigint[]))) AS reaches
)
SELECT CAST(coalesce(json_agg(json_build_array(
         i.reach_id, i.group_id, i.person_id, i.settled,
         (SELECT array_agg(c.right_id) FROM identity.cannot_link c WHERE c.left_id = i.id),
         json_build_array(
           i.id, i.namespace, i.link_consent, r.fields ->> 'first_name', r.fields ->> 'last_name',
           r.fields ->> 'birth_date',
           coalesce(lower(i.value) = ANY(s.blocked) OR EXISTS (
             SELECT FROM unnest(s.blocked_patterns) p WHERE i.value ~ p), false),
           i.closed,
           EXISTS (SELECT FROM identity.link d WHERE d.left_id = i.id AND d.kind = 'manual')
             OR EXISTS (SELECT FROM identity.link d WHERE d.right_id = i.id AND d.kind = 'manual')
         ))), '[]') AS text) AS nodes
FROM identity.identifier i
LEFT JOIN identity.record r ON r.identifier_id = i.id
LEFT JOIN identity.namespace s ON s.name = i.namespace
WHERE i.id = ANY(CAST(:ids AS bigint[]))
   OR i.person_id = ANY(CAST((SELECT reaches FROM around) AS bigint[]))
   OR i.reach_id <> i.person_id AND i.reach_id = ANY(CAST((SELECT reaches FROM around) AS bigint[]));
