-- People whose standing in journeys with a target is to be looked at again.
INSERT INTO app.journey_due (journey, person_id, due_at)
SELECT j.key, p.id, CAST(:now AS timestamptz)
FROM (SELECT DISTINCT ON (key) key, definition FROM app.journey ORDER BY key, version DESC) j
CROSS JOIN unnest(CAST(:people AS bigint[])) AS p (id)
WHERE j.definition ? 'target'
  AND NOT EXISTS (
    SELECT FROM app.journey_standing s WHERE s.key = j.key AND s.archived_at IS NOT NULL
  )
ORDER BY j.key, p.id
ON CONFLICT (journey, person_id) DO UPDATE SET due_at = least(journey_due.due_at, excluded.due_at);
