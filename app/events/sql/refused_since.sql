-- Of these moments, the purposes that were refused then and that later events of the same source and
-- identifiers refuse again. By the timeline of who acts in them, which a browser's own events share;
-- what was refused is looked up first, because nearly nobody who says yes has refused anything.
SELECT r.n, array_agg(stood.purpose) AS purposes
FROM json_to_recordset(CAST(:rows AS json))
     AS r(n bigint, source_id bigint, at timestamptz, acting json, speaker json)
CROSS JOIN LATERAL (
  SELECT DISTINCT ON (c.purpose) c.purpose, c.state FROM consent.record c
  WHERE c.namespace = r.speaker ->> 0 AND c.value = r.speaker ->> 1 AND c.order_time <= r.at
  ORDER BY c.purpose, c.order_time DESC, (c.state = 'given'), c.recorded_at DESC, c.seq DESC
) stood
JOIN identity.identifier a ON a.namespace = r.acting ->> 0 AND a.value = r.acting ->> 1
JOIN identity.identifier s ON s.namespace = r.speaker ->> 0 AND s.value = r.speaker ->> 1
WHERE stood.state <> 'given'
  AND EXISTS (
    SELECT FROM app.event e
    WHERE e.identifier_id = a.id AND e.occurred_at > r.at AND e.received_at > r.at
      AND e.source_id = r.source_id AND e.identifier_ids @> ARRAY[s.id]
      AND e.refused @> ARRAY[stood.purpose])
GROUP BY r.n;
