-- Have what some identifiers refuse be refused by others too: all that stands (consent.refused).
-- Grants are left. A refusal keeps its time where the other identifier has said nothing of the purpose
-- itself; otherwise it counts from now on, or that would lift it. It keeps what it rests on, and says
-- of which record it is a copy. It is a word of the other identifier's own, which is spread to that
-- one's spellings: of which spelling's record the old one was a copy says nothing of it.
WITH refused AS (
  SELECT n.*
  FROM unnest(CAST(:namespaces AS text[]), CAST(:values AS text[])) AS o(namespace, value)
  CROSS JOIN LATERAL (
    SELECT * FROM consent.refused n WHERE n.namespace = o.namespace AND n.value = o.value
    OFFSET 0  -- or all refusals of everybody would be found first
  ) n
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
       (evidence - 'spelling_of_record')
         || jsonb_build_object('carried_from', id, 'carried_by', CAST(:by AS text)),
       universal
FROM timed
ORDER BY to_namespace, to_value, purpose, since, proof
RETURNING id, namespace, value, purpose, state, CAST(transaction AS text) AS transaction,
          order_time, effective_at, valid_until;
