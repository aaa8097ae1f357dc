-- Keep TC strings of some identifiers beside those of others, where they allow nothing.
INSERT INTO consent.carried_tc_string (namespace, value, sha256, string, said_at)
SELECT DISTINCT ON (t.namespace, t.value, s.sha256)
       t.namespace, t.value, s.sha256, s.string, s.said_at
FROM (
  SELECT namespace, value, encode(sha256(convert_to(string, 'UTF8')), 'hex') AS sha256, string,
         said_at
  FROM consent.tc_string
  UNION ALL
  SELECT namespace, value, sha256, string, said_at FROM consent.carried_tc_string
) s
JOIN unnest(CAST(:namespaces AS text[]), CAST(:values AS text[])) AS o(namespace, value)
  ON s.namespace = o.namespace AND s.value = o.value
CROSS JOIN unnest(CAST(:to_namespaces AS text[]), CAST(:to_values AS text[])) AS t(namespace, value)
WHERE (t.namespace, t.value) <> (s.namespace, s.value)
ORDER BY t.namespace, t.value, s.sha256, s.said_at DESC
ON CONFLICT DO NOTHING;
