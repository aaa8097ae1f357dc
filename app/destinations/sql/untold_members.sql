-- Members of these segments among :people of whom a destination was not told, or that they left.
-- Who is in without a record there, for what is in the way of one, is looked at anyhow.
SELECT s.key, m.person_id
FROM app.segment s
JOIN app.segment_member m ON m.segment_id = s.id AND m.left_at IS NULL
JOIN identity.current_person i ON i.identifier_id = m.person_id
WHERE s.key = ANY(CAST(:segments AS text[])) AND s.purpose = :purpose
  AND i.person_id = ANY(CAST(:people AS bigint[]))
  AND (SELECT d.type FROM app.delivery d
       WHERE d.destination_id = :destination AND d.person_id = m.person_id
         AND d.type IN ('segment.entered', 'segment.exited')
         AND d.state IN ('waiting', 'delivered') AND d.payload ->> 'segment' = s.key
       ORDER BY d.id DESC LIMIT 1) IS DISTINCT FROM 'segment.entered'
  AND NOT EXISTS (
    SELECT FROM app.held_record h
    WHERE h.destination_id = :destination AND h.person_id = m.person_id AND h.absent
      AND s.key = ANY(h.segments))
ORDER BY s.key, m.person_id;
