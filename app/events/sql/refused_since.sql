-- Of these moments, the purposes that were refused then and that later events of the same source and
-- identifiers refuse again. By the timeline of who acts in them, which a browser's own events share.
SELECT r.n, array_agg(DISTINCT p) AS purposes
FROM json_to_recordset(CAST(:rows AS json))
     AS r(n bigint, source_id bigint, at timestamptz, acting json, speaker json)
JOIN identity.identifier a ON a.namespace = r.acting ->> 0 AND a.value = r.acting ->> 1
JOIN identity.identifier s ON s.namespace = r.speaker ->> 0 AND s.value = r.speaker ->> 1
JOIN app.event e
  ON e.identifier_id = a.id AND e.occurred_at > r.at AND e.received_at > r.at
 AND e.source_id = r.source_id AND e.identifier_ids @> ARRAY[s.id]
CROSS JOIN LATERAL unnest(e.refused) AS p
CROSS JOIN LATERAL (
  SELECT c.state FROM consent.record c
  WHERE c.namespace = s.namespace AND c.value = s.value AND c.purpose = p AND c.order_time <= r.at
  ORDER BY c.order_time DESC, (c.state = 'given'), c.recorded_at DESC, c.seq DESC
  LIMIT 1) stood
WHERE stood.state <> 'given'
GROUP BY r.n;
