-- The next events of a partition with values of special categories, which are few. What the pipeline
-- has still to read is of nobody yet.
SELECT CAST(e.transaction AS text) AS transaction, e.id, e.identifier_id, e.refused,
       CAST(e.rest AS text) AS rest
FROM app.event e
WHERE e.part = :part AND e.rest IS NOT NULL
  AND (e.transaction, e.id) > (CAST(CAST(:transaction AS text) AS xid8), CAST(:id AS bigint))
  AND (e.rest -> 'specialCategories') IS NOT NULL
  AND NOT EXISTS (SELECT FROM app.progress p
                  WHERE p.reader = 'pipeline'
                    AND (p.transaction, p.event_id) < (e.transaction, e.id))
ORDER BY e.transaction, e.id
LIMIT :limit;
