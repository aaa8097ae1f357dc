-- What these identifiers say about linking now, as identity keeps it. Whoever objected to it (GDPR
-- art. 21) is linked no more; whoever had processing restricted (art. 18) stays whole, and is compared
-- with nobody. LIMIT keeps the view's inside bounded by the identifier; a plain join would compute
-- it for everybody.
SELECT i.identifier_id,
       CASE WHEN coalesce(demanded.objected, false) THEN 'refused'
            WHEN said.state IN ('refused', 'withdrawn') THEN 'refused'
            WHEN said.state = 'given' AND said.purpose_version >= :renewed AND NOT said.unproven
              AND NOT (:explicit AND said.stamp) THEN 'given'
            ELSE 'unknown' END AS state,
       coalesce(demanded.restricted, false) AS restricted
FROM identity.current_person i
LEFT JOIN LATERAL (
  SELECT c.* FROM consent.current c
  WHERE c.namespace = i.namespace AND c.value = i.value AND c.purpose = :purpose
  LIMIT 1
) said ON true
CROSS JOIN LATERAL (
  SELECT bool_or(d.kind = 'objection' AND d.purpose_key = :purpose) AS objected,
         bool_or(d.kind = 'restriction') AS restricted
  FROM consent.restriction d
  WHERE d.namespace = i.namespace AND d.value = i.value
    AND (d.purpose_key IS NULL OR d.purpose_key = :purpose)
    AND d.from_at <= clock_timestamp() AND (d.to_at IS NULL OR d.to_at > clock_timestamp())
) demanded
WHERE i.identifier_id = ANY(CAST(:ids AS bigint[]));
