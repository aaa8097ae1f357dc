-- What somebody should look at, per destination that was not switched off on purpose: why it was
-- switched off, since when messages wait (of the first to be sent), how many who left or were erased
-- could not be taken back, of its latest messages, which of its segments serve another purpose now,
-- and why a portion of its sync failed. A later message about the same person and segment makes good for one that failed (replay.sql).
SELECT t.name, t.why_disabled, w.since, w.status, coalesce(f.kept, 0) AS kept,
       ARRAY(SELECT s.key FROM app.segment s
             WHERE s.key = ANY(t.segments) AND s.purpose <> t.purpose ORDER BY s.key) AS anothers,
       (SELECT y.error FROM app.destination_sync y
        WHERE y.destination_id = t.id AND y.ended_at IS NULL AND y.error IS NOT NULL
        ORDER BY y.id LIMIT 1) AS sync_error
FROM app.destination t
LEFT JOIN LATERAL (
  SELECT min(d.created_at) AS since, max(d.last_status) AS status
  FROM (
    SELECT created_at, last_status FROM app.delivery
    WHERE destination_id = t.id AND state = 'waiting' ORDER BY due_at, id LIMIT 1000
  ) d
) w ON true
LEFT JOIN LATERAL (
  SELECT count(DISTINCT d.person_id) AS kept
  FROM (
    SELECT id, person_id, type, state, payload FROM app.delivery
    WHERE destination_id = t.id ORDER BY id DESC LIMIT CAST(:latest AS bigint)
  ) d
  WHERE d.state = 'failed' AND d.type IN ('segment.exited', 'profile.erased') AND NOT EXISTS (
    SELECT FROM app.delivery later
    WHERE later.destination_id = t.id AND later.person_id = d.person_id
      AND later.id > d.id AND later.state <> 'failed'
      AND later.payload ->> 'segment' IS NOT DISTINCT FROM d.payload ->> 'segment')
) f ON true
WHERE t.removed_at IS NULL AND (t.enabled OR t.why_disabled IS NOT NULL)
ORDER BY t.name;
