-- Who of these people, or of their asserted groups, is held by a destination that maps a computed trait.
-- Not of whom a message waits that nobody has begun to send: what it says is decided when it is.
SELECT h.destination_id, h.person_id, h.profile_id
FROM identity.current_person p
JOIN app.held_record h ON h.person_id = p.identifier_id AND cardinality(h.segments) > 0
JOIN app.destination d ON d.id = h.destination_id AND d.enabled
WHERE p.person_id = ANY(CAST(:people AS bigint[]))
  AND jsonb_path_exists(d.mapping, '$.*.computed')
  AND NOT EXISTS (SELECT FROM app.delivery w
                  WHERE w.destination_id = h.destination_id AND w.person_id = h.person_id
                    AND w.state = 'waiting' AND w.attempts = 0)
ORDER BY h.destination_id, h.person_id;
