-- Note a read of everything about the people of these identifiers, by all that each consists of now.
INSERT INTO app.person_read (read_at, client_id, operation, identifier_ids)
SELECT CAST(:read_at AS timestamptz), CAST(:client_id AS text), CAST(:operation AS text),
       array_agg(m.identifier_id ORDER BY m.identifier_id)
FROM identity.current_person m
WHERE m.person_id IN (SELECT i.person_id FROM identity.current_person i
                      WHERE i.identifier_id = ANY(CAST(:identifiers AS bigint[])))
HAVING count(*) > 0;
