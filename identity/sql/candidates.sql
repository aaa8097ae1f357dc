-- The records that matching may see: only of groups where profile.link was given and no member
-- refused it. Whoever is not in this result is in no pair, no score and no review.
SELECT k.identifier_id, i.group_id, i.person_id, k.fields
FROM identity.record k
JOIN identity.current_person i ON i.identifier_id = k.identifier_id
WHERE i.link_consent <> 'refused' AND k.fields <> '{}'::jsonb
  AND EXISTS (SELECT FROM identity.identifier g
              WHERE g.group_id = i.group_id AND g.link_consent = 'given')
ORDER BY k.identifier_id;
