-- Identifiers as a preview has them: the group and the person that each would be of.
SELECT i.identifier_id, i.namespace, i.value, i.profile_id, i.link_consent, i.first_seen_at,
       m.group_id, m.person_id
FROM json_to_recordset(CAST(:moved AS json))
  AS m(identifier_id bigint, group_id bigint, person_id bigint)
JOIN identity.current_person i ON i.identifier_id = m.identifier_id
