-- Of each of these blocking keys the oldest records that have it, so many at most. Ordered by an
-- expression, lest all records be walked by age.
SELECT wanted.key, block.ids
FROM unnest(CAST(:keys AS bigint[])) AS wanted(key)
CROSS JOIN LATERAL (
  SELECT array_agg(oldest.identifier_id) AS ids FROM (
    SELECT r.identifier_id FROM identity.record r
    WHERE r.keys @> ARRAY[wanted.key] ORDER BY r.identifier_id + 0 LIMIT :most) oldest) block
WHERE block.ids IS NOT NULL;
