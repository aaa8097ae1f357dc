-- Whose data a breach concerns: events of sources and what destinations were sent within the
-- window, what stores held at its end, and the people that a client may have read. By the person
-- they are today.
SELECT p.person_id, sum(b.events) AS events, sum(b.deliveries) AS deliveries
FROM (
  SELECT e.identifier_id, 1 AS events, 0 AS deliveries
  FROM app.event e JOIN app.source s ON s.id = e.source_id
  WHERE s.name = ANY(CAST(:sources AS text[]))
    AND e.received_at >= CAST(:since AS timestamptz) AND e.received_at < CAST(:until AS timestamptz)
  UNION ALL
  SELECT d.person_id, 0, 1
  FROM app.delivery d JOIN app.destination t ON t.id = d.destination_id
  WHERE t.name = ANY(CAST(:destinations AS text[])) AND d.state = 'delivered'
    AND d.ended_at >= CAST(:since AS timestamptz) AND d.ended_at < CAST(:until AS timestamptz)
  UNION ALL
  -- Who was part of somebody else then, or is known by what was noted of a look that is gone.
  SELECT i, 0, 0
  FROM app.disclosure s
  JOIN app.destination t ON t.id = s.destination_id
  CROSS JOIN LATERAL unnest(s.identifier_ids) AS i
  WHERE t.name = ANY(CAST(:destinations AS text[]))
    AND s.decided_at >= CAST(:since AS timestamptz) AND s.decided_at < CAST(:until AS timestamptz)
    AND CAST(s.leaf AS jsonb) ->> 'reason' <> 'told_before'
  UNION ALL
  SELECT e.identifier_id, 1, 0 FROM app.event e
  WHERE CAST(:stores AS text[]) && '{events,database}'
    AND e.received_at < CAST(:until AS timestamptz)
  UNION ALL
  SELECT t.identifier_id, 0, 0 FROM app.trait t
  WHERE CAST(:stores AS text[]) && '{profiles}' AND t.received_at < CAST(:until AS timestamptz)
  UNION ALL
  SELECT i.identifier_id, 0, 0
  FROM consent.record r JOIN identity.current_person i USING (namespace, value)
  WHERE CAST(:stores AS text[]) && '{consents}' AND r.recorded_at < CAST(:until AS timestamptz)
  UNION ALL
  SELECT i.identifier_id, 0, 0 FROM identity.current_person i
  WHERE CAST(:stores AS text[]) && '{database}'
    AND i.first_seen_at < CAST(:until AS timestamptz)
  UNION ALL
  SELECT i.identifier_id, 0, 0 FROM identity.current_person i
  WHERE i.person_id = ANY(CAST(:readable AS bigint[]))
) b
JOIN identity.current_person p ON p.identifier_id = b.identifier_id
GROUP BY p.person_id
ORDER BY p.person_id;
