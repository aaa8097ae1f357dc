-- What is known of these people, by class of data: of how many of them.
SELECT 'identifier' AS kind, i.namespace AS name, count(DISTINCT i.person_id) AS people
FROM identity.current_person i
WHERE i.person_id = ANY(CAST(:people AS bigint[]))
GROUP BY i.namespace
UNION ALL
SELECT 'trait', t.key, count(DISTINCT i.person_id)
FROM app.trait t JOIN identity.current_person i USING (identifier_id)
WHERE i.person_id = ANY(CAST(:people AS bigint[]))
GROUP BY t.key
UNION ALL
SELECT 'age', a.band, count(DISTINCT i.person_id)
FROM consent.age_band a JOIN identity.current_person i USING (namespace, value)
WHERE i.person_id = ANY(CAST(:people AS bigint[]))
  AND a.from_at <= clock_timestamp() AND (a.to_at IS NULL OR a.to_at > clock_timestamp())
GROUP BY a.band
ORDER BY 1, 3 DESC, 2
LIMIT 500;
