-- Forget what was sent, or waits to be sent, about people of these ids. Each destination that was
-- told of one of them, or may have been, is told that it is gone; of one that was removed it is noted
-- that nobody told it, and what it may hold is on record no more. Where an identifier was told as part of a person whom it left, by a split or
-- an undo, or is not asserted to be, `told_as` says under which profile: that one is somebody else's.
WITH gone AS (
  DELETE FROM app.delivery
  -- A message that a person is gone waits for its receiver, also when they are erased once more.
  WHERE person_id = ANY(CAST(:ids AS bigint[])) AND type <> 'profile.erased'
  RETURNING destination_id, person_id, profile_id, sent
), unheld AS (
  DELETE FROM app.held_record h USING app.destination t
  WHERE t.id = h.destination_id
    -- Of who is absent and known by nothing there was never told.
    AND (t.removed_at IS NOT NULL OR h.absent AND h.remote IS NULL AND h.also IS NULL)
    AND h.person_id = ANY(CAST(:ids AS bigint[]))
), noted AS (
  -- What takes back or rights a message names no identifier to its receiver.
  SELECT DISTINCT s.destination_id, CAST(d.leaf ->> 'profile' AS uuid) AS profile_id,
         (SELECT min(i) FROM unnest(s.identifier_ids) AS i
          WHERE i = ANY(CAST(:ids AS bigint[]))) AS identifier_id
  FROM app.disclosure s
  CROSS JOIN LATERAL (SELECT CAST(s.leaf AS jsonb) AS leaf) d
  WHERE s.identifier_ids && CAST(:ids AS bigint[]) AND d.leaf ->> 'reason' <> 'told_before'
), told AS (
  SELECT destination_id, person_id, profile_id, NULL AS told_as
  FROM gone WHERE sent
  UNION ALL
  SELECT destination_id, person_id, profile_id, NULL FROM app.held_record
  WHERE person_id = ANY(CAST(:ids AS bigint[]))
    AND (NOT absent OR remote IS NOT NULL OR also IS NOT NULL)
  UNION ALL
  SELECT n.destination_id, coalesce(own.identifier_id, n.identifier_id),
         CASE WHEN theirs.profile_id IS NULL THEN n.profile_id
              ELSE coalesce(other.profile_id, gen_random_uuid()) END,
         CAST(theirs.profile_id AS text)
  FROM noted n
  LEFT JOIN identity.current_person own
    ON own.profile_id = n.profile_id AND own.identifier_id = ANY(CAST(:ids AS bigint[]))
  LEFT JOIN identity.current_person theirs
    ON theirs.profile_id = n.profile_id AND theirs.identifier_id <> ALL(CAST(:ids AS bigint[]))
  LEFT JOIN identity.current_person other ON other.identifier_id = n.identifier_id
)
INSERT INTO app.delivery (destination_id, message_id, person_id, profile_id, type, payload, state,
                          due_at, created_at, ended_at, reason)
SELECT t.id, gen_random_uuid(), min(told.person_id), told.profile_id, 'profile.erased',
       CASE WHEN count(told.told_as) = 0 THEN CAST('{}' AS jsonb)
            ELSE jsonb_build_object('told_as', jsonb_agg(DISTINCT told.told_as)
                                               FILTER (WHERE told.told_as IS NOT NULL)) END,
       CASE WHEN t.removed_at IS NULL THEN 'waiting' ELSE 'dropped' END,
       CAST(:at AS timestamptz), CAST(:at AS timestamptz),
       CASE WHEN t.removed_at IS NULL THEN NULL ELSE CAST(:at AS timestamptz) END,
       CASE WHEN t.removed_at IS NULL THEN NULL ELSE t.why_disabled END
FROM told
JOIN app.destination t ON t.id = told.destination_id
GROUP BY t.id, told.profile_id;
