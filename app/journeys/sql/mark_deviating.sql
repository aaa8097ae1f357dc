-- Whoever has a deviation is to be looked at, for the target may be another; everybody no longer.
WITH gone AS (
  DELETE FROM app.journey_due WHERE journey = :journey AND person_id = :everybody
)
INSERT INTO app.journey_due (journey, person_id, due_at)
SELECT DISTINCT CAST(:journey AS text), subject_id, CAST(:now AS timestamptz)
FROM app.journey_deviation WHERE journey = :journey
ON CONFLICT (journey, person_id) DO UPDATE SET due_at = excluded.due_at;
