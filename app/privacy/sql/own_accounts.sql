-- The accounts that a person's identifiers say they are or were in, and what they told of them.
SELECT a.type, a.key, i.namespace || ':' || i.value AS identifier, m.joined_at, m.left_at,
       (SELECT json_object_agg(t.key, t.value) FROM app.account_trait t
        WHERE t.account_id = a.id AND t.identifier_id = i.id) AS told
FROM app.account a
JOIN (SELECT account_id, identifier_id FROM app.account_member
      WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
      UNION SELECT account_id, identifier_id FROM app.account_trait
      WHERE identifier_id = ANY(CAST(:ids AS bigint[]))) said ON said.account_id = a.id
JOIN identity.identifier i ON i.id = said.identifier_id
LEFT JOIN app.account_member m ON m.account_id = a.id AND m.identifier_id = i.id
ORDER BY a.type, a.key, i.id, m.joined_at;
