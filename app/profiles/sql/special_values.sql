-- What events of these identifiers say of special categories, the latest first, but what was stamped
-- against the purpose.
SELECT e.message_id, e.type, e.name, e.occurred_at, s.name AS source,
       CAST(e.rest AS jsonb) -> 'specialCategories' AS apart
FROM app.event e
JOIN app.source s ON s.id = e.source_id
WHERE e.identifier_id = ANY(CAST(:identifiers AS bigint[]))
  AND NOT app.barred(e.refused, :purpose)
  AND e.rest IS NOT NULL AND CAST(e.rest AS jsonb) ? 'specialCategories'
ORDER BY e.occurred_at DESC, e.id DESC
LIMIT :limit;
