-- Whom else something connects with these identifiers, without its being theirs: the same person by
-- a match or a decision, or a link that is held; and the strongest probability of it.
SELECT i.id, i.namespace, i.value, max(n.kind) AS kind, max(n.probability) AS probability
FROM (SELECT l.right_id AS id, l.kind, l.probability FROM identity.link l
      WHERE l.left_id = ANY(CAST(:ids AS bigint[])) AND l.revoked_at IS NULL
      UNION ALL
      SELECT l.left_id, l.kind, l.probability FROM identity.link l
      WHERE l.right_id = ANY(CAST(:ids AS bigint[])) AND l.revoked_at IS NULL
      UNION ALL
      SELECT m.id, NULL, NULL
      FROM identity.identifier m
      WHERE m.person_id = ANY(ARRAY(SELECT o.person_id FROM identity.identifier o
                                    WHERE o.id = ANY(CAST(:ids AS bigint[]))))) n
JOIN identity.identifier i USING (id)
WHERE i.id <> ALL(CAST(:ids AS bigint[]))
GROUP BY i.id, i.namespace, i.value
ORDER BY i.id;
