-- Events that were changed since they were copied, as next_batch.sql returns events.
SELECT e.id, e.source_id, e.identifier_id, e.type, e.name, e.occurred_at, e.received_at,
       e.source_seq, e.refused, CAST(e.properties AS text) AS properties,
       CAST(e.context AS text) AS context
FROM app.event e
WHERE e.id = ANY(ARRAY(SELECT r.event_id FROM app.lake_removal r WHERE r.again
                       AND r.event_id = ANY(CAST(:ids AS bigint[]))));
