-- Who was told what about the people of these ids, and when: under their own profiles, or as part of
-- somebody with whom they were joined then. Looks at what a receiver holds are deleted after a while;
-- of what they sent the evidence stays, and so it does of destinations that were removed. Who may hold
-- somebody of whose telling nothing is on record any more is a recipient still.
WITH noted AS (
  SELECT s.destination_id, s.purpose, s.decided_at, CAST(d.leaf ->> 'message' AS uuid) AS message_id,
         d.leaf ->> 'kind' AS what, d.leaf ->> 'segment' AS segment
  FROM app.disclosure s
  CROSS JOIN LATERAL (SELECT CAST(s.leaf AS jsonb) AS leaf) d
  WHERE s.identifier_ids && CAST(:ids AS bigint[]) AND d.leaf ->> 'reason' <> 'told_before'
), told AS (
  SELECT m.id, m.destination_id, m.type AS what, m.payload ->> 'segment' AS segment, m.state,
         coalesce(m.ended_at, m.created_at) AS at
  FROM app.delivery m
  WHERE m.person_id = ANY(CAST(:ids AS bigint[])) AND m.sent
     OR m.message_id = ANY(ARRAY(SELECT message_id FROM noted))
  UNION ALL
  SELECT NULL, n.destination_id, n.what, n.segment, 'noted', max(n.decided_at)
  FROM noted n
  WHERE NOT EXISTS (SELECT FROM app.delivery m WHERE m.message_id = n.message_id)
  GROUP BY n.destination_id, n.message_id, n.what, n.segment
), held AS (
  SELECT CAST(NULL AS bigint), h.destination_id, 'record', CAST(NULL AS text), 'held', max(h.sent_at)
  FROM app.held_record h
  WHERE h.person_id = ANY(CAST(:ids AS bigint[]))
    AND (NOT h.absent OR h.remote IS NOT NULL OR h.also IS NOT NULL)
    AND NOT EXISTS (SELECT FROM told t WHERE t.destination_id = h.destination_id)
  GROUP BY h.destination_id
)
SELECT d.name AS recipient, d.purpose, array_to_string(d.also_for, ', ') AS also_for,
       told.what, told.segment, told.state, told.at
FROM (SELECT * FROM told UNION ALL SELECT * FROM held) told
JOIN app.destination d ON d.id = told.destination_id
ORDER BY told.at, told.id;
