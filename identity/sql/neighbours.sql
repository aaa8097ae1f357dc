-- Whom records with these blocking keys are to be compared with: all that share a key, but for keys
-- that more than :most share. Such a key says little, and true pairs share others.
SELECT DISTINCT found.identifier_id
FROM unnest(CAST(:keys AS bigint[])) AS wanted(key)
CROSS JOIN LATERAL (
  SELECT array_agg(shared.identifier_id) AS ids FROM (
    SELECT r.identifier_id FROM identity.record r
    WHERE r.keys @> ARRAY[wanted.key] LIMIT :most + 1) shared) block
CROSS JOIN LATERAL unnest(block.ids) AS found(identifier_id)
WHERE cardinality(block.ids) <= :most;
