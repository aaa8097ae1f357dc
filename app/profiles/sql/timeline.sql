-- A page of events of some identifiers, newest first; of equal times in the order of their source.
SELECT e.id, e.message_id, e.type, e.name, e.occurred_at, e.received_at, e.sent_at, e.user_id,
       e.anonymous_id, e.properties, e.context, e.rest, s.name AS source,
       coalesce(e.source_seq, 4611686018427387903) AS place
FROM app.event e
JOIN app.source s ON s.id = e.source_id
WHERE e.identifier_id = ANY(CAST(:identifiers AS bigint[]))
  AND NOT (:purpose = ANY(e.refused))
  AND (CAST(:at AS timestamptz) IS NULL
       OR (e.occurred_at, coalesce(e.source_seq, 4611686018427387903), e.received_at, e.id)
          < (CAST(:at AS timestamptz), CAST(:place AS bigint), CAST(:received_at AS timestamptz),
             CAST(:id AS bigint)))
ORDER BY e.occurred_at DESC, place DESC, e.received_at DESC, e.id DESC
LIMIT :limit;
