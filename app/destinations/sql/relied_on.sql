-- The grants on record on which these identifiers, and those asserted to be one with them, may be
-- used for :purpose now, each with whose word it is. Whether they may, `permission` decides.
SELECT i.identifier_id, i.group_id, c.record_id
FROM (SELECT DISTINCT person_id, group_id FROM identity.current_person
      WHERE identifier_id = ANY(ARRAY(SELECT unnest(CAST(:identifiers AS bigint[]))))) u
JOIN identity.current_person i ON i.person_id = u.person_id AND i.group_id = u.group_id
JOIN LATERAL (
  SELECT s.* FROM consent.current s
  WHERE s.namespace = i.namespace AND s.value = i.value AND s.purpose = :purpose
  LIMIT 1
) c ON c.state = 'given'
WHERE c.purpose_version >= :renewed AND NOT c.unproven AND NOT (:explicit AND c.stamp);
