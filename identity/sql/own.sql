-- The identifiers that are one person's by what events showed, from those that are asked for. Not
-- across links that a guard or consent holds, nor what somebody or matching thought likely: these
-- could be another person's.
WITH RECURSIVE own(id) AS (
  SELECT i.id
  FROM json_to_recordset(CAST(:rows AS json)) AS r(namespace text, value text)
  JOIN identity.identifier i ON i.namespace = r.namespace AND i.value = r.value
  UNION
  SELECT l.other
  FROM own o
  CROSS JOIN LATERAL (
    SELECT a.right_id AS other FROM identity.link a
    WHERE a.left_id = o.id AND a.kind = 'event' AND a.held IS NULL AND a.revoked_at IS NULL
    UNION ALL
    SELECT a.left_id FROM identity.link a
    WHERE a.right_id = o.id AND a.kind = 'event' AND a.held IS NULL AND a.revoked_at IS NULL) l
)
SELECT i.id, i.namespace, i.value, i.person_id, i.profile_id
FROM own JOIN identity.identifier i USING (id)
ORDER BY i.id;
