-- Have the restrictions and objections of some identifiers hold for others too, from now on and by
-- the same request, so that what lifts them lifts all.
INSERT INTO consent.restriction (namespace, value, kind, purpose_key, from_at, to_at, reason_ref)
SELECT DISTINCT t.namespace, t.value, d.kind, d.purpose_key, CAST(:at AS timestamptz), d.to_at,
       d.reason_ref
FROM consent.restriction d
JOIN unnest(CAST(:namespaces AS text[]), CAST(:values AS text[])) AS o(namespace, value)
  ON d.namespace = o.namespace AND d.value = o.value
CROSS JOIN unnest(CAST(:to_namespaces AS text[]), CAST(:to_values AS text[])) AS t(namespace, value)
WHERE (d.to_at IS NULL OR d.to_at > CAST(:at AS timestamptz))
  AND NOT EXISTS (
    SELECT FROM consent.restriction x
    WHERE x.namespace = t.namespace AND x.value = t.value AND x.kind = d.kind
      AND x.purpose_key IS NOT DISTINCT FROM d.purpose_key AND x.reason_ref = d.reason_ref
      AND (x.to_at IS NULL OR x.to_at >= d.to_at))
RETURNING id;
