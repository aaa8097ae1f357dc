-- Tell every destination that was told of people of these ids that something about them has changed.
INSERT INTO app.delivery (destination_id, message_id, person_id, profile_id, type, payload, state,
                          due_at, created_at)
SELECT DISTINCT ON (m.destination_id, m.profile_id)
       m.destination_id, gen_random_uuid(), m.person_id, m.profile_id, CAST(:type AS text),
       CAST(:payload AS jsonb), 'waiting', CAST(:at AS timestamptz), CAST(:at AS timestamptz)
FROM app.delivery m
WHERE m.person_id = ANY(CAST(:people AS bigint[])) AND m.attempts > 0
  AND m.type = 'segment.entered'
RETURNING destination_id, message_id;
