-- Identifiers, and all that share a reach with some: where each belongs and what guards look at, as
-- one JSON text of columns; whom they must be apart from; of whom somebody decided something. A
-- person is within a reach that is named after its own first member, so the index of reaches holds
-- only those who are not of the person of that name. Of 6,000 in one reach, objects for each row
-- took twice as long, and look-ups of decisions for each row three times.
WITH around AS MATERIALIZED (
  SELECT ARRAY(SELECT DISTINCT t.reach_id FROM identity.identifier t
               WHERE t.id = ANY(CAST(:around AS bigint[]))) AS reaches
), chosen AS MATERIALIZED (
  SELECT i.reach_id, i.group_id, i.person_id, i.settled, i.id, i.namespace, i.link_consent,
         r.fields ->> 'first_name' AS first_name, r.fields ->> 'last_name' AS last_name,
         r.fields ->> 'birth_date' AS birth_date,
         CASE WHEN s.name IS NULL THEN false
              ELSE lower(i.value) = ANY(s.blocked) OR EXISTS (
                SELECT FROM unnest(s.blocked_patterns) p WHERE i.value ~ p) END AS blocked,
         i.closed, i.spelling_of IS NOT NULL AS old
  FROM identity.identifier i
  LEFT JOIN identity.record r ON r.identifier_id = i.id
  LEFT JOIN identity.namespace s ON s.name = i.namespace
  WHERE i.id = ANY(CAST(:ids AS bigint[]))
     OR i.person_id = ANY(CAST((SELECT reaches FROM around) AS bigint[]))
     OR i.reach_id <> i.person_id
        AND i.reach_id = ANY(CAST((SELECT reaches FROM around) AS bigint[]))
)
SELECT CAST(json_build_array(
  (SELECT json_build_array(
     json_agg(reach_id), json_agg(group_id), json_agg(person_id), json_agg(settled), json_agg(id),
     json_agg(namespace), json_agg(link_consent), json_agg(first_name), json_agg(last_name),
     json_agg(birth_date), json_agg(blocked), json_agg(closed), json_agg(old))
   FROM chosen),
  (SELECT coalesce(json_agg(json_build_array(c.left_id, c.right_id)), '[]')
   FROM chosen n JOIN identity.cannot_link c ON c.left_id = n.id),
  (SELECT coalesce(json_agg(d.id), '[]') FROM (
     SELECT n.id FROM chosen n JOIN identity.link l ON l.left_id = n.id AND l.kind = 'manual'
     UNION
     SELECT n.id FROM chosen n JOIN identity.link l ON l.right_id = n.id AND l.kind = 'manual') d)
) AS text) AS nodes;
