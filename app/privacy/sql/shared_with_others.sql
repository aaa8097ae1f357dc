-- Which of these identifiers events of others carry too; :own are all of the person's.
SELECT DISTINCT i
FROM app.event e CROSS JOIN LATERAL unnest(e.identifier_ids) AS i
WHERE e.identifier_ids && CAST(:ids AS bigint[]) AND i = ANY(CAST(:ids AS bigint[]))
  AND e.identifier_id <> ALL(CAST(:own AS bigint[]));
