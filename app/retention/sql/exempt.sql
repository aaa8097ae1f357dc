-- Delete some events of a partition that serve one purpose alone and are older than its data may be
-- kept; :really false only counts. As in expire.sql, what a reader has still to read stays, what is
-- restricted stays, and each id is noted for the lake. Asked of partitions that hold some.
WITH due AS MATERIALIZED (
  SELECT e.transaction, e.id
  FROM app.event e
  JOIN json_to_recordset(CAST(:purposes AS json)) AS p(mark text, days bigint)
    ON e.refused[1] = p.mark
  WHERE e.part = :part
    AND least(e.occurred_at, e.received_at)
          < CAST(:now AS timestamptz) - p.days * interval '1 day'
    AND NOT EXISTS (SELECT FROM app.progress r
                    WHERE r.reader IN ('pipeline', 'lake')
                      AND (r.transaction, r.event_id) < (e.transaction, e.id))
    AND e.identifier_id NOT IN (
      SELECT other.identifier_id
      FROM consent.restriction d
      JOIN identity.current_person mine USING (namespace, value)
      JOIN identity.current_person other ON other.person_id = mine.person_id
      WHERE d.kind = 'restriction'
        AND (d.to_at IS NULL OR d.to_at > CAST(:now AS timestamptz)))
  LIMIT :limit
), gone AS (
  DELETE FROM app.event e USING due x
  WHERE :really AND e.part = :part AND e.transaction = x.transaction AND e.id = x.id
  RETURNING e.id
), noted AS (
  INSERT INTO app.lake_removal AS r (event_id) SELECT id FROM gone
  ON CONFLICT (event_id) DO UPDATE SET again = false
)
SELECT count(*) FROM due;
