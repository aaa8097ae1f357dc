-- Forget what was sent, or waits to be sent, about people of these ids. Each destination that was
-- told of one of them, or may have been, is told that it is gone.
WITH gone AS (
  DELETE FROM app.delivery WHERE person_id = ANY(CAST(:ids AS bigint[]))
  RETURNING destination_id, person_id, profile_id, attempts, reason
), told AS (
  -- What failed keeps its reason when it is sent again from the first attempt (replay).
  SELECT destination_id, person_id, profile_id FROM gone WHERE attempts > 0 OR reason IS NOT NULL
  UNION ALL
  SELECT destination_id, person_id, profile_id FROM app.held_record
  WHERE person_id = ANY(CAST(:ids AS bigint[]))
)
INSERT INTO app.delivery (destination_id, message_id, person_id, profile_id, type, payload, state,
                          due_at, created_at)
SELECT DISTINCT ON (destination_id, profile_id)
       destination_id, gen_random_uuid(), person_id, profile_id, 'profile.erased', '{}'::jsonb,
       'waiting', CAST(:at AS timestamptz), CAST(:at AS timestamptz)
FROM told;
