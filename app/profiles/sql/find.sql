-- Who these references stand for now: those that are ids of profiles, and those that name an
-- identifier. One by one: joined, PostgreSQL may read a million identifiers for a hundred.
SELECT r.n, i.named_id, i.person_id, i.is_profile, p.profile_id
FROM json_to_recordset(CAST(:rows AS json)) AS r(n bigint, profile uuid, namespace text, value text)
CROSS JOIN LATERAL (
  (SELECT identifier_id AS named_id, person_id, true AS is_profile
   FROM identity.current_person WHERE profile_id = r.profile)
  UNION ALL
  (SELECT identifier_id, person_id, false
   FROM identity.current_person WHERE namespace = r.namespace AND value = r.value)
) i
JOIN identity.current_person p ON p.identifier_id = i.person_id;
