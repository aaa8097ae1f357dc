-- The TC strings that are kept of identifiers, as they stay until the transaction ends: in one
-- order, so that two who ask about the same people never wait for each other.
SELECT s.namespace, s.value, s.string
FROM consent.tc_string s
JOIN json_to_recordset(CAST(:rows AS json)) AS a(namespace text, value text)
  USING (namespace, value)
ORDER BY s.namespace, s.value
FOR NO KEY UPDATE OF s;
