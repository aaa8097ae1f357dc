-- Move identifiers to the person they now belong to.
UPDATE identity.identifier i
   SET group_id = r.group_id, person_id = r.person_id, reach_id = r.reach_id, closed = r.closed,
       settled = true
FROM json_to_recordset(CAST(:rows AS json))
  AS r(id bigint, group_id bigint, person_id bigint, reach_id bigint, closed text)
WHERE i.id = r.id;
