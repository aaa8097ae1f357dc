-- Everybody is to be looked at; who is already stays as they are.
INSERT INTO app.journey_due (journey, person_id, due_at)
SELECT DISTINCT CAST(:journey AS text), person_id, CAST(:now AS timestamptz)
FROM identity.current_person
ON CONFLICT (journey, person_id) DO NOTHING;
