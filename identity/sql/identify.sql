-- The ids of identifiers, made where they are new, each a person of its own; by namespace, in the
-- order in which its values are given, as one text each. Ordered, so that concurrent writers wait
-- instead of deadlocking, and so that ids are given in that order. One that another transaction
-- made at the same time is left empty: it is neither in this snapshot nor inserted here.
-- One index holds value and id, so that a look-up reads one page and not two.
WITH found AS MATERIALIZED (
  SELECT s.namespace, v.value, v.n, known.id
  FROM json_each(CAST(:values AS json)) AS s(namespace, listed)
  CROSS JOIN LATERAL json_array_elements_text(s.listed) WITH ORDINALITY AS v(value, n)
  LEFT JOIN LATERAL (
    SELECT i.id FROM identity.identifier i
    WHERE i.namespace = s.namespace AND i.value = v.value
    LIMIT 1
  ) known ON true
), made AS (
  INSERT INTO identity.identifier (id, namespace, value, group_id, person_id, reach_id)
  SELECT n.id, n.namespace, n.value, n.id, n.id, n.id
  FROM (SELECT nextval('identity.identifier_id_seq') AS id, o.namespace, o.value
        FROM (SELECT f.namespace, f.value FROM found f
              WHERE f.id IS NULL ORDER BY f.namespace, f.value) o) n
  ON CONFLICT (namespace, value) DO NOTHING
  RETURNING id, namespace, value
)
SELECT f.namespace,
       string_agg(coalesce(CAST(coalesce(f.id, m.id) AS text), ''), ',' ORDER BY f.n) AS ids
FROM found f
LEFT JOIN made m ON f.id IS NULL AND m.namespace = f.namespace AND m.value = f.value
GROUP BY f.namespace;
