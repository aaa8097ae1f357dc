-- What these identifiers say about linking now, as identity keeps it. LIMIT keeps the view's inside
-- bounded by the identifier; a plain join would compute it for everybody.
SELECT i.identifier_id,
       CASE said.state WHEN 'given' THEN 'given'
                       WHEN 'refused' THEN 'refused'
                       WHEN 'withdrawn' THEN 'refused'
                       ELSE 'unknown' END AS state
FROM identity.current_person i
LEFT JOIN LATERAL (
  SELECT c.state FROM consent.current c
  WHERE c.namespace = i.namespace AND c.value = i.value AND c.purpose = :purpose
  LIMIT 1
) said ON true
WHERE i.identifier_id = ANY(CAST(:ids AS bigint[]));
