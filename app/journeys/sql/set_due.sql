-- The timers of people who were looked at: when the clock alone may change where they stand.
WITH timed AS (
  SELECT * FROM unnest(CAST(:timed AS bigint[]), CAST(:at AS timestamptz[])) AS t (person_id, at)
), gone AS (
  DELETE FROM app.journey_due
  WHERE journey = :journey AND person_id = ANY(CAST(:people AS bigint[]))
    AND person_id NOT IN (SELECT person_id FROM timed)
)
UPDATE app.journey_due d SET due_at = t.at
FROM timed t WHERE d.journey = :journey AND d.person_id = t.person_id;
