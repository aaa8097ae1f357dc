-- Grants of these identifiers that counted for a time, with when that ended, if it has. One below
-- a refusal of its own time, dated in the future or without proof never allowed anything.
SELECT r.id, r.namespace, r.value, r.purpose, r.stamp,
       CASE WHEN least(next.at, r.valid_until) <= :at
            THEN least(next.at, r.valid_until) END AS ended_at,
       CAST(to_jsonb(r) - 'transaction' AS text) AS body
FROM consent.record r
CROSS JOIN LATERAL (
  SELECT min(n.order_time) AS at FROM consent.record n
  WHERE n.namespace = r.namespace AND n.value = r.value AND n.purpose = r.purpose
    AND n.state <> 'given' AND n.order_time >= r.order_time
) next
WHERE (r.namespace, r.value) IN (
        SELECT * FROM unnest(CAST(:namespaces AS text[]), CAST(:values AS text[])))
  AND r.state = 'given' AND NOT r.unproven AND r.effective_at <= :at
  AND r.effective_at < coalesce(least(next.at, r.valid_until), 'infinity')
ORDER BY r.seq;
