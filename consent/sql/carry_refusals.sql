-- Have what some identifiers refuse be refused by others too: all refusals that stand, the newest of
-- each kind, since a grant may lift one and not the other. Grants are left. A refusal keeps its time
-- where the other identifier has said nothing of the purpose itself; otherwise it counts from now on,
-- or that would lift it. It keeps what it rests on, and says of which record it is a copy.
WITH refused AS (
  SELECT DISTINCT ON (n.namespace, n.value, n.purpose, n.proof, n.universal) n.*
  FROM consent.record n
  JOIN unnest(CAST(:namespaces AS text[]), CAST(:values AS text[])) AS o(namespace, value)
    ON n.namespace = o.namespace AND n.value = o.value
  WHERE n.state <> 'given' AND (
    n.universal = 'opt_out' AND EXISTS (
      SELECT FROM consent.opted_out u
      WHERE u.namespace = o.namespace AND u.value = o.value AND u.purpose = n.purpose)
    OR NOT EXISTS (
      SELECT FROM consent.record g
      WHERE g.namespace = n.namespace AND g.value = n.value AND g.purpose = n.purpose
        AND g.state = 'given' AND g.proof >= n.proof AND g.order_time > n.order_time
        AND g.effective_at <= clock_timestamp()))
  ORDER BY n.namespace, n.value, n.purpose, n.proof, n.universal,
           n.order_time DESC, n.recorded_at DESC, n.seq DESC
), timed AS (
  SELECT r.*, t.namespace AS to_namespace, t.value AS to_value,
         CASE WHEN EXISTS (
                SELECT FROM consent.record l
                WHERE l.namespace = t.namespace AND l.value = t.value AND l.purpose = r.purpose)
              THEN statement_timestamp() ELSE r.order_time END AS since
  FROM refused r
  CROSS JOIN unnest(CAST(:to_namespaces AS text[]), CAST(:to_values AS text[]))
             AS t(namespace, value)
  WHERE (t.namespace, t.value) <> (r.namespace, r.value)
)
INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at,
                            recorded_at, order_time, notice, collected_by, evidence, universal)
SELECT to_namespace, to_value, purpose, purpose_version, state, since, statement_timestamp(), since,
       notice, collected_by,
       evidence || jsonb_build_object('carried_from', id, 'carried_by', CAST(:by AS text)),
       universal
FROM timed
ORDER BY to_namespace, to_value, purpose, since, proof
RETURNING id, namespace, value, purpose, state, CAST(transaction AS text) AS transaction,
          order_time, effective_at, valid_until;
