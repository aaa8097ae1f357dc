-- How many records bear each of these blocking keys, counted up to one more than :most.
SELECT wanted.key, (SELECT count(*) FROM (
         SELECT FROM identity.record r WHERE r.keys @> ARRAY[wanted.key] LIMIT :most + 1) shared
       ) AS bearers
FROM unnest(CAST(:keys AS bigint[])) AS wanted(key);
