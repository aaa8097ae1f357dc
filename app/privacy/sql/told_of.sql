-- Tell every destination that was told of people of these ids that something about them has changed;
-- of one that was removed it is noted that nobody told it. Where an identifier was told as part of a
-- person whom it left since, `told_as` says under which profile, as an erasure does.
WITH mine AS MATERIALIZED (
  SELECT identifier_id FROM identity.current_person
  WHERE person_id = ANY(CAST(:people AS bigint[]))
), noted AS (
  SELECT DISTINCT s.destination_id, CAST(d.leaf ->> 'profile' AS uuid) AS profile_id,
         (SELECT min(i) FROM unnest(s.identifier_ids) AS i
          WHERE i IN (SELECT identifier_id FROM mine)) AS identifier_id
  FROM app.disclosure s
  CROSS JOIN LATERAL (SELECT CAST(s.leaf AS jsonb) AS leaf) d
  WHERE s.identifier_ids && ARRAY(SELECT identifier_id FROM mine)
    AND d.leaf ->> 'reason' <> 'told_before'
), told AS (
  SELECT destination_id, person_id, profile_id, NULL AS told_as FROM app.delivery
  WHERE person_id = ANY(ARRAY(SELECT identifier_id FROM mine))
    AND sent AND type = 'segment.entered'
  UNION ALL
  SELECT h.destination_id, h.person_id, h.profile_id, NULL FROM app.held_record h
  JOIN app.destination t ON t.id = h.destination_id AND t.removed_at IS NOT NULL
  WHERE h.person_id = ANY(ARRAY(SELECT identifier_id FROM mine))
  UNION ALL
  SELECT n.destination_id, coalesce(own.identifier_id, n.identifier_id),
         CASE WHEN theirs.profile_id IS NULL THEN n.profile_id ELSE other.profile_id END,
         CAST(theirs.profile_id AS text)
  FROM noted n
  JOIN identity.current_person other ON other.identifier_id = n.identifier_id
  LEFT JOIN identity.current_person own
    ON own.profile_id = n.profile_id AND own.identifier_id IN (SELECT identifier_id FROM mine)
  LEFT JOIN identity.current_person theirs
    ON theirs.profile_id = n.profile_id
   AND theirs.identifier_id NOT IN (SELECT identifier_id FROM mine)
)
INSERT INTO app.delivery (destination_id, message_id, person_id, profile_id, type, payload, state,
                          due_at, created_at, ended_at, reason)
SELECT t.id, gen_random_uuid(), min(told.person_id), told.profile_id, CAST(:type AS text),
       CASE WHEN count(told.told_as) = 0 THEN CAST(:payload AS jsonb)
            ELSE CAST(:payload AS jsonb)
                 || jsonb_build_object('told_as', jsonb_agg(DISTINCT told.told_as)
                                                  FILTER (WHERE told.told_as IS NOT NULL)) END,
       CASE WHEN t.removed_at IS NULL THEN 'waiting' ELSE 'dropped' END,
       CAST(:at AS timestamptz), CAST(:at AS timestamptz),
       CASE WHEN t.removed_at IS NULL THEN NULL ELSE CAST(:at AS timestamptz) END,
       CASE WHEN t.removed_at IS NULL THEN NULL ELSE t.why_disabled END
FROM told
JOIN app.destination t ON t.id = told.destination_id
GROUP BY t.id, told.profile_id
RETURNING destination_id, message_id;
