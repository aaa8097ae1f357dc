-- Keep which people became one, in the order in which they are given.
INSERT INTO identity.merge (survivor_id, absorbed_id, absorbed_identifier_ids, at)
SELECT r.survivor_id, r.absorbed_id, r.absorbed, :at
FROM ROWS FROM (json_to_recordset(CAST(:rows AS json))
       AS (survivor_id bigint, absorbed_id bigint, absorbed bigint[]))
     WITH ORDINALITY AS r(survivor_id, absorbed_id, absorbed, n)
ORDER BY r.n;
