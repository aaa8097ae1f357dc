-- Send again what failed, the first :limit after a message, from the beginning of the schedule; not what
-- a later message about the same person and segment has overtaken, which would bring back what is not
-- so any more: also one that had not to be sent, as that somebody left who was told of nowhere.
WITH failed AS MATERIALIZED (
  SELECT d.id FROM app.delivery d
  WHERE d.destination_id = :destination AND d.state = 'failed' AND d.id > :after
    AND (CAST(:messages AS uuid[]) IS NULL OR d.message_id = ANY(CAST(:messages AS uuid[])))
    AND NOT EXISTS (
      SELECT FROM app.delivery later
      WHERE later.destination_id = d.destination_id AND later.person_id = d.person_id
        AND later.id > d.id AND later.state <> 'failed'
        AND later.payload ->> 'segment' IS NOT DISTINCT FROM d.payload ->> 'segment')
  ORDER BY d.id
  LIMIT :limit
  FOR UPDATE OF d)
UPDATE app.delivery d
SET state = 'waiting', attempts = 0, due_at = :now, ended_at = NULL
FROM failed
WHERE d.id = failed.id
RETURNING d.id;
