-- Have what is known of the age of some identifiers hold for others too, from now on. Of an
-- identifier the band that was stated last counts, so a teenager's is carried from when no child's
-- is known of the other any more: it would let more be.
INSERT INTO consent.age_band (namespace, value, band, from_at, to_at, stated_by)
SELECT DISTINCT b.to_namespace, b.to_value, b.band, b.since, b.to_at, b.stated_by
FROM (
  SELECT t.namespace AS to_namespace, t.value AS to_value, a.band, a.to_at, a.stated_by,
         greatest(a.from_at, CAST(:at AS timestamptz),
                  CASE WHEN a.band <> 'child' THEN (
                    SELECT max(coalesce(c.to_at, 'infinity')) FROM consent.age_band c
                    WHERE c.namespace = t.namespace AND c.value = t.value AND c.band = 'child')
                  END) AS since
  FROM consent.age_band a
  JOIN unnest(CAST(:namespaces AS text[]), CAST(:values AS text[])) AS o(namespace, value)
    ON a.namespace = o.namespace AND a.value = o.value
  CROSS JOIN unnest(CAST(:to_namespaces AS text[]), CAST(:to_values AS text[]))
             AS t(namespace, value)
  WHERE (a.to_at IS NULL OR a.to_at > CAST(:at AS timestamptz))
    AND (t.namespace, t.value) <> (a.namespace, a.value)
) b
WHERE b.since < 'infinity' AND (b.to_at IS NULL OR b.to_at > b.since)
ORDER BY b.to_namespace, b.to_value, b.band DESC, b.since
RETURNING namespace, value, band, from_at, to_at, stated_by;
