-- What these identifiers say about linking now, as identity keeps it. Whoever demanded that use
-- stops (GDPR art. 18, 21) is linked no more either. LIMIT keeps the view's inside bounded by the
-- identifier; a plain join would compute it for everybody.
SELECT i.identifier_id,
       CASE WHEN EXISTS (
              SELECT FROM consent.restriction d
              WHERE d.namespace = i.namespace AND d.value = i.value
                AND d.kind <> 'objection_marketing'
                AND (d.purpose_key = :purpose OR d.purpose_key IS NULL AND d.kind = 'restriction')
                AND d.from_at <= clock_timestamp()
                AND (d.to_at IS NULL OR d.to_at > clock_timestamp())) THEN 'refused'
            WHEN said.state IN ('refused', 'withdrawn') THEN 'refused'
            WHEN said.state = 'given' AND said.purpose_version >= :renewed AND NOT said.unproven
              AND NOT (:explicit AND said.stamp) THEN 'given'
            ELSE 'unknown' END AS state
FROM identity.current_person i
LEFT JOIN LATERAL (
  SELECT c.* FROM consent.current c
  WHERE c.namespace = i.namespace AND c.value = i.value AND c.purpose = :purpose
  LIMIT 1
) said ON true
WHERE i.identifier_id = ANY(CAST(:ids AS bigint[]));
