-- Whose events of these names or types are in a step of the pipeline: after its mark, up to :transaction, :id.
WITH mark AS MATERIALIZED (
  SELECT p.transaction, p.event_id,
         (SELECT coalesce(max(c.part), 0) FROM app.event_partition c
          WHERE c.closed_by <= p.transaction) AS passed
  FROM app.progress p WHERE p.reader = 'pipeline')
SELECT DISTINCT e.type, e.name, e.identifier_id
FROM app.event e
WHERE (e.transaction, e.id) > ((SELECT transaction FROM mark), (SELECT event_id FROM mark))
  AND (e.transaction, e.id) <= (CAST(CAST(:transaction AS text) AS xid8), CAST(:id AS bigint))
  AND e.part > (SELECT passed FROM mark)
  AND (e.name = ANY(CAST(:names AS text[])) OR e.type = ANY(CAST(:types AS text[])));
