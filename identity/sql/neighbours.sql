-- Whom records with these blocking keys are to be compared with: all that share a key, but for keys
-- that more than `most` share. Such a key is in no row; one that nobody shares has no ids.
SELECT wanted.key, block.ids
FROM json_to_recordset(CAST(:rows AS json)) AS wanted(key bigint, most bigint)
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(shared.identifier_id), '{}') AS ids FROM (
    SELECT r.identifier_id FROM identity.record r
    WHERE r.keys @> ARRAY[wanted.key] LIMIT wanted.most + 1) shared) block
WHERE cardinality(block.ids) <= wanted.most;
