-- Delete messages that ended before a time and that a later one about the same person and segment has
-- overtaken, among the next of them; say how far this came, and how many went. The last of each kind
-- stays: it says who counts as told. One that never left goes when anything later ended well.
WITH looked AS MATERIALIZED (
  SELECT d.id FROM app.delivery d
  WHERE d.id > :after AND d.created_at < CAST(:before AS timestamptz)
  ORDER BY d.id
  LIMIT :limit
), gone AS (
  DELETE FROM app.delivery d USING looked
  WHERE d.id = looked.id AND d.state <> 'waiting' AND d.ended_at < CAST(:before AS timestamptz)
    AND d.type IN ('segment.entered', 'segment.exited')
    AND EXISTS (
      SELECT FROM app.delivery later
      WHERE later.destination_id = d.destination_id AND later.person_id = d.person_id
        AND later.payload ->> 'segment' = d.payload ->> 'segment' AND later.id > d.id
        AND (later.state = 'delivered' AND later.type = d.type
             OR d.state = 'dropped' AND NOT d.sent AND later.state IN ('delivered', 'dropped')))
  RETURNING d.id
)
SELECT max(id) AS last, count(*) AS looked, (SELECT count(*) FROM gone) AS gone FROM looked;
