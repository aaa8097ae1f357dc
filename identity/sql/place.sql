-- Write who people are now, in one statement: why links are not followed or that they are again,
-- where identifiers belong, and which people became one or came apart, in the order given.
WITH held AS (
  UPDATE identity.link l SET held = r.held
  FROM json_to_recordset(CAST(:held AS json)) AS r(id bigint, held text)
  WHERE l.id = r.id
), moved AS (
  UPDATE identity.identifier i
     SET group_id = r.group_id, person_id = r.person_id, reach_id = r.reach_id, closed = r.closed,
         settled = true
  FROM unnest(CAST(:ids AS bigint[]), CAST(:groups AS bigint[]), CAST(:people AS bigint[]),
              CAST(:reaches AS bigint[]), CAST(:closed AS text[]))
       AS r(id, group_id, person_id, reach_id, closed)
  WHERE i.id = r.id
), merged AS (
  INSERT INTO identity.merge (survivor_id, absorbed_id, absorbed_identifier_ids, at)
  SELECT r.survivor_id, r.absorbed_id, r.absorbed, :at
  FROM ROWS FROM (json_to_recordset(CAST(:merged AS json))
         AS (survivor_id bigint, absorbed_id bigint, absorbed bigint[]))
       WITH ORDINALITY AS r(survivor_id, absorbed_id, absorbed, n)
  ORDER BY r.n
)
INSERT INTO identity.split (person_id, part_id, identifier_ids, at)
SELECT r.person_id, r.part_id, r.identifiers, :at
FROM ROWS FROM (json_to_recordset(CAST(:split AS json))
       AS (person_id bigint, part_id bigint, identifiers bigint[]))
     WITH ORDINALITY AS r(person_id, part_id, identifiers, n)
ORDER BY r.n;
