-- Move identifiers to the person they now belong to.
UPDATE identity.identifier i
   SET group_id = r.group_id, person_id = r.person_id, reach_id = r.reach_id, closed = r.closed,
       settled = true
FROM unnest(CAST(:ids AS bigint[]), CAST(:groups AS bigint[]), CAST(:people AS bigint[]),
            CAST(:reaches AS bigint[]), CAST(:closed AS text[]))
     AS r(id, group_id, person_id, reach_id, closed)
WHERE i.id = r.id;
