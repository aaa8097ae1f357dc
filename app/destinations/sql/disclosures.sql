-- What destinations were sent, or may have been, of identifiers for a purpose from :since to :until,
-- under whatever profile they were then, and what became of telling each that the person has left
-- since. A look at what a receiver holds is deleted after a while: the evidence of it stays.
WITH noted AS (
  SELECT CAST(d.leaf ->> 'message' AS uuid) AS message_id, s.destination_id,
         CAST(d.leaf ->> 'profile' AS uuid) AS profile_id, d.leaf ->> 'segment' AS segment,
         max(s.decided_at) AS decided_at
  FROM app.disclosure s
  CROSS JOIN LATERAL (SELECT CAST(s.leaf AS jsonb) AS leaf) d
  WHERE s.identifier_ids && CAST(:ids AS bigint[]) AND s.purpose = :purpose
    AND s.decided_at >= :since AND s.decided_at <= :until AND d.leaf ->> 'reason' <> 'told_before'
  GROUP BY 1, 2, 3, 4
), sent AS (
  SELECT d.id, d.message_id, d.destination_id, d.person_id, d.payload ->> 'segment' AS segment,
         coalesce(d.ended_at, n.decided_at) AS sent_at
  FROM app.delivery d
  JOIN app.destination t ON t.id = d.destination_id
  LEFT JOIN noted n ON n.message_id = d.message_id
  WHERE d.message_id = ANY(ARRAY(SELECT message_id FROM noted))
     OR d.person_id = ANY(CAST(:ids AS bigint[])) AND t.purpose = :purpose
        AND d.type = 'segment.entered' AND d.state = 'delivered'
        AND d.ended_at >= :since AND d.ended_at <= :until
  UNION ALL
  SELECT NULL, n.message_id, n.destination_id, i.identifier_id, n.segment, n.decided_at
  FROM noted n
  LEFT JOIN identity.current_person i ON i.profile_id = n.profile_id
  WHERE NOT EXISTS (SELECT FROM app.delivery d WHERE d.message_id = n.message_id)
)
SELECT s.message_id, t.id AS destination_id, t.name AS destination, s.segment, s.sent_at,
       taken_back.state AS exit_state, taken_back.ended_at AS exit_at
FROM sent s
JOIN app.destination t ON t.id = s.destination_id
LEFT JOIN LATERAL (
  SELECT b.state, b.ended_at
  FROM app.delivery b
  WHERE b.destination_id = s.destination_id AND b.person_id = s.person_id
    AND b.type = 'segment.exited'
    AND CASE WHEN s.id IS NULL THEN coalesce(b.ended_at, 'infinity') >= s.sent_at
             ELSE b.id > s.id END
    AND (s.segment IS NULL OR b.payload ->> 'segment' = s.segment)
  ORDER BY b.id
  LIMIT 1
) taken_back ON true
ORDER BY s.sent_at, s.message_id;
