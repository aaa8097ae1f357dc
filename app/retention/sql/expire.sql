-- Look through the next :limit events of a partition, and delete those that are kept long enough
-- by the most specific rule that fits them; :really false only counts. What a reader of the stream
-- has still to read stays. Rules of more than a century, which earlier versions let through, mean
-- one: PostgreSQL has no such times. What is younger than the shortest rule is asked for no rule,
-- which is a third of the time where most is. Each deleted id is noted for the lake, in the same
-- transaction, so that analyses leave it out from now on.
WITH looked AS MATERIALIZED (
  SELECT e.transaction, e.id, e.source_id, e.type, e.name, e.received_at, e.identifier_id
  FROM app.event e
  WHERE e.part = :part
    AND (e.transaction, e.id) > (CAST(CAST(:transaction AS text) AS xid8), CAST(:id AS bigint))
    AND NOT EXISTS (SELECT FROM app.progress p
                    WHERE p.reader IN ('pipeline', 'lake')
                      AND (p.transaction, p.event_id) < (e.transaction, e.id))
  ORDER BY e.transaction, e.id
  LIMIT :limit
), restricted AS MATERIALIZED (
  -- Whose data somebody wants kept (GDPR art. 18): to delete is to process.
  SELECT other.identifier_id
  FROM consent.restriction d
  JOIN identity.current_person mine USING (namespace, value)
  JOIN identity.current_person other ON other.person_id = mine.person_id
  WHERE d.kind = 'restriction'
    AND (d.to_at IS NULL OR d.to_at > CAST(:now AS timestamptz))
), expired AS MATERIALIZED (
  SELECT e.transaction, e.id
  FROM looked e
  CROSS JOIN LATERAL (
    SELECT r.days FROM app.retention_rule r
    WHERE (r.source_id IS NULL OR r.source_id = e.source_id)
      AND (r.type IS NULL OR r.type = e.type)
      AND (r.event IS NULL OR r.event = e.name)
    ORDER BY r.source_id IS NULL, r.event IS NULL, r.type IS NULL
    LIMIT 1) rule
  WHERE e.received_at < (SELECT CAST(:now AS timestamptz)
                                - min(least(days, 36500)) * interval '1 day'
                         FROM app.retention_rule)
    AND e.received_at < CAST(:now AS timestamptz) - least(rule.days, 36500) * interval '1 day'
    AND e.identifier_id NOT IN (SELECT identifier_id FROM restricted)
), gone AS (
  DELETE FROM app.event e USING expired x
  WHERE :really AND e.part = :part AND e.transaction = x.transaction AND e.id = x.id
  RETURNING e.id
), noted AS (
  INSERT INTO app.lake_removal AS r (event_id) SELECT id FROM gone
  ON CONFLICT (event_id) DO UPDATE SET again = false
)
SELECT CAST(last.transaction AS text) AS transaction, last.id,
       (SELECT count(*) FROM expired) AS expired
FROM (SELECT transaction, id FROM looked ORDER BY transaction DESC, id DESC LIMIT 1) last;
