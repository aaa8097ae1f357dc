-- What these identifiers say about linking now, as identity keeps it. Whoever objected to it (GDPR
-- art. 21) is linked no more; whoever had processing restricted (art. 18) stays whole, and is compared
-- with nobody; nor is a child for whom no guardian agreed (art. 8), who says nothing for who is no
-- child. LIMIT keeps the view's inside bounded by the identifier; a plain join would compute it for
-- everybody.
SELECT i.identifier_id,
       CASE WHEN coalesce(demanded.objected, false) THEN 'refused'
            WHEN said.state IN ('refused', 'withdrawn') THEN 'refused'
            WHEN said.state = 'given' AND said.purpose_version >= :renewed AND NOT said.unproven
              AND NOT (:explicit AND said.stamp)
              AND (NOT said.guardian OR :on_consent AND demanded.child) THEN 'given'
            ELSE 'unknown' END AS state,
       coalesce(demanded.restricted, false)
         OR :on_consent AND NOT (said.state = 'given' AND said.guardian) IS TRUE
            AND demanded.child AS restricted
FROM identity.current_person i
LEFT JOIN LATERAL (
  SELECT c.* FROM consent.current c
  WHERE c.namespace = i.namespace AND c.value = i.value AND c.purpose = :purpose
  LIMIT 1
) said ON true
CROSS JOIN LATERAL (
  SELECT bool_or(d.kind = 'objection' AND d.purpose_key = :purpose) AS objected,
         bool_or(d.kind = 'restriction') AS restricted,
         EXISTS (
           SELECT FROM consent.age_band a
           WHERE a.namespace = i.namespace AND a.value = i.value AND a.band = 'child'
             AND (a.to_at IS NULL OR a.to_at > clock_timestamp())) AS child
  FROM consent.restriction d
  WHERE d.namespace = i.namespace AND d.value = i.value
    AND (d.purpose_key IS NULL OR d.purpose_key = :purpose)
    -- None is set for a later time: what seems to be was set before the clock was set back.
    AND (d.to_at IS NULL OR d.to_at > clock_timestamp())
) demanded
WHERE i.identifier_id = ANY(CAST(:ids AS bigint[]));
