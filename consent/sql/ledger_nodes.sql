-- Keep hashes of the tree's kept levels.
INSERT INTO consent.ledger_node (level, node_index, hash)
SELECT level, node_index, decode(hash, 'base64')
FROM json_to_recordset(CAST(:rows AS json)) AS r(level bigint, node_index bigint, hash text);
