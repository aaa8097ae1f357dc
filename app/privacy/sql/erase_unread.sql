-- Take these identifiers out of others' events that the pipeline has still to read, which would
-- link them again. What it has read is redacted later, without holding anybody up.
UPDATE app.event e
SET identifier_ids = ARRAY(SELECT n FROM unnest(e.identifier_ids) WITH ORDINALITY AS t(n, place)
                           WHERE n <> ALL(CAST(:ids AS bigint[])) ORDER BY place)
FROM app.progress p
WHERE p.reader = 'pipeline'
  AND (e.transaction, e.id) > (p.transaction, p.event_id)
  AND e.identifier_ids && CAST(:ids AS bigint[]);
