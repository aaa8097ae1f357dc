-- The next :limit identifiers with traits of which nothing was heard since :before, and since when.
SELECT t.identifier_id, greatest(max(least(t.occurred_at, t.received_at)), heard.at) AS at
FROM app.trait t
LEFT JOIN LATERAL (
  SELECT least(e.occurred_at, e.received_at) AS at FROM app.event e
  WHERE e.identifier_id = t.identifier_id
  ORDER BY e.occurred_at DESC LIMIT 1
) heard ON true
WHERE t.identifier_id > :after
GROUP BY t.identifier_id, heard.at
HAVING greatest(max(least(t.occurred_at, t.received_at)), heard.at) < :before
ORDER BY t.identifier_id
LIMIT :limit;
