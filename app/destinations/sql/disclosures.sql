-- What destinations were sent of a person for a purpose after :since and until :until, and what
-- became of telling each that the person has left since.
SELECT d.message_id, t.id AS destination_id, t.name AS destination, d.payload ->> 'segment' AS segment,
       d.ended_at AS sent_at, taken_back.state AS exit_state, taken_back.ended_at AS exit_at
FROM app.delivery d
JOIN app.destination t ON t.id = d.destination_id
LEFT JOIN LATERAL (
  SELECT b.state, b.ended_at
  FROM app.delivery b
  WHERE b.destination_id = d.destination_id AND b.person_id = d.person_id AND b.id > d.id
    AND b.type = 'segment.exited' AND b.payload ->> 'segment' = d.payload ->> 'segment'
  ORDER BY b.id
  LIMIT 1
) taken_back ON true
WHERE d.person_id = :person AND t.purpose = :purpose AND d.type = 'segment.entered'
  AND d.state = 'delivered' AND d.ended_at >= :since AND d.ended_at <= :until
ORDER BY d.ended_at, d.id;
