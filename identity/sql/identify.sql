-- The ids of identifiers, made where they are new, each a person of its own. Ordered, so that
-- concurrent writers wait instead of deadlocking, and so that ids are given in that order. One that
-- another transaction made at the same time is not returned: it is neither in this snapshot nor
-- inserted here.
WITH wanted AS MATERIALIZED (
  SELECT namespace, value FROM json_to_recordset(CAST(:rows AS json)) AS r(namespace text, value text)
), found AS MATERIALIZED (
  SELECT i.id, i.namespace, i.value
  FROM wanted w
  JOIN identity.identifier i ON i.namespace = w.namespace AND i.value = w.value
), made AS (
  INSERT INTO identity.identifier (id, namespace, value, group_id, person_id, reach_id)
  SELECT n.id, n.namespace, n.value, n.id, n.id, n.id
  FROM (SELECT nextval('identity.identifier_id_seq') AS id, o.namespace, o.value
        FROM (SELECT w.namespace, w.value
              FROM wanted w
              WHERE NOT EXISTS (SELECT FROM found f
                                WHERE f.namespace = w.namespace AND f.value = w.value)
              ORDER BY w.namespace, w.value) o) n
  ON CONFLICT (namespace, value) DO NOTHING
  RETURNING id, namespace, value
)
SELECT id, namespace, value FROM found
UNION ALL
SELECT id, namespace, value FROM made;
