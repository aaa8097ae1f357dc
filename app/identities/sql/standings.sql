-- What these identifiers say about any purpose now.
SELECT i.identifier_id, s.purpose, s.state
FROM identity.current_person i
CROSS JOIN LATERAL (
  SELECT c.purpose, c.state FROM consent.current c
  WHERE c.namespace = i.namespace AND c.value = i.value
) s
WHERE i.identifier_id = ANY(CAST(:ids AS bigint[]));
