-- Grants of these identifiers that counted for a time, with when that ended, if it has. One below
-- a refusal of its own time, or one that is proved better, dated in the future or without proof never
-- allowed anything. Nor did one behind a universal opt-out that none had overridden.
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
  AND NOT EXISTS (
    SELECT FROM consent.record n
    WHERE n.namespace = r.namespace AND n.value = r.value AND n.purpose = r.purpose
      AND n.state <> 'given' AND n.proof > r.proof AND n.order_time < r.order_time
      AND NOT EXISTS (
        SELECT FROM consent.record g
        WHERE g.namespace = n.namespace AND g.value = n.value AND g.purpose = n.purpose
          AND g.state = 'given' AND g.proof >= n.proof
          AND g.order_time > n.order_time AND g.order_time <= r.order_time
          AND g.effective_at < coalesce(least(next.at, r.valid_until), 'infinity')))
  AND NOT EXISTS (
    SELECT FROM consent.record o
    WHERE o.namespace = r.namespace AND o.value = r.value AND o.purpose = r.purpose
      AND o.universal = 'opt_out' AND o.order_time < r.order_time
      AND NOT EXISTS (
        SELECT FROM consent.record v
        WHERE v.namespace = o.namespace AND v.value = o.value AND v.purpose = o.purpose
          AND v.universal = 'override' AND v.proof = 3 AND v.order_time <= r.order_time
          AND v.effective_at < coalesce(least(next.at, r.valid_until), 'infinity')
          AND (v.valid_until IS NULL OR v.valid_until > r.effective_at)
          AND NOT EXISTS (
            SELECT FROM consent.record later
            WHERE later.namespace = v.namespace AND later.value = v.value
              AND later.purpose = v.purpose AND later.state <> 'given'
              AND later.order_time >= v.order_time AND later.order_time < r.order_time)))
ORDER BY r.seq;
