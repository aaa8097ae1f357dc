-- The next people whom a destination was told of, may have been or will be, and whether that they are in
-- the segment was the last of it and they are not: one was missed, or the segment replaced.
WITH told AS MATERIALIZED (
  SELECT DISTINCT ON (d.person_id) d.person_id, d.type
  FROM app.delivery d
  WHERE d.destination_id = :destination AND d.person_id > :after
    AND (d.state IN ('waiting', 'delivered') OR d.sent AND d.type = 'segment.entered')
    AND d.type IN ('segment.entered', 'segment.exited') AND d.payload ->> 'segment' = :segment
  ORDER BY d.person_id, d.id DESC
  LIMIT :limit)
SELECT t.person_id,
       t.type = 'segment.entered' AND NOT EXISTS (
         SELECT FROM app.segment_member m
         JOIN app.segment s ON s.id = m.segment_id AND s.key = :segment AND s.purpose = :purpose
         WHERE m.person_id = t.person_id AND m.left_at IS NULL) AS gone
FROM told t
ORDER BY t.person_id;
