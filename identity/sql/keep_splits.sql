-- Keep which parts left whom, in the order in which they are given.
INSERT INTO identity.split (person_id, part_id, identifier_ids, at)
SELECT r.person_id, r.part_id, r.identifiers, :at
FROM ROWS FROM (json_to_recordset(CAST(:rows AS json))
       AS (person_id bigint, part_id bigint, identifiers bigint[]))
     WITH ORDINALITY AS r(person_id, part_id, identifiers, n)
ORDER BY r.n;
