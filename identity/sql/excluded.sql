-- How many records matching may not see, by what profile.link is for them.
WITH stopped AS (SELECT person_id FROM identity.identifier WHERE restricted)
SELECT CASE WHEN i.link_consent = 'refused' THEN 'refused'
            WHEN i.person_id IN (SELECT person_id FROM stopped) THEN 'restricted'
            ELSE 'unknown' END AS reason,
       count(*) AS records
FROM identity.record k
JOIN identity.current_person i ON i.identifier_id = k.identifier_id
WHERE k.fields <> '{}'::jsonb
  AND (i.link_consent = 'refused'
       OR i.person_id IN (SELECT person_id FROM stopped)
       OR NOT EXISTS (SELECT FROM identity.identifier g
                      WHERE g.person_id = i.person_id AND g.group_id = i.group_id
                        AND g.link_consent = 'given'))
GROUP BY 1
ORDER BY 1;
