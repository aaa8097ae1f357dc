-- Somebody is to be looked at now.
INSERT INTO app.journey_due (journey, person_id, due_at)
VALUES (:journey, :person, now())
ON CONFLICT (journey, person_id) DO UPDATE SET due_at = excluded.due_at;
