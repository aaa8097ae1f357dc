-- When each of these identifiers came first in an event that showed it with another one.
SELECT i, min(e.received_at)
FROM app.event e CROSS JOIN LATERAL unnest(e.identifier_ids) AS i
WHERE e.identifier_ids && CAST(:ids AS bigint[]) AND i = ANY(CAST(:ids AS bigint[]))
  AND cardinality(e.identifier_ids) > 1
GROUP BY i;
