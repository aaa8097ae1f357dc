-- Decisions that keep two people apart fall, whichever of their identifiers they were about.
DELETE FROM identity.cannot_link c
USING (SELECT ARRAY(SELECT m.id FROM identity.identifier m
                    WHERE m.person_id = (SELECT i.person_id FROM identity.identifier i
                                         WHERE i.id = CAST(:one AS bigint))) AS one,
              ARRAY(SELECT m.id FROM identity.identifier m
                    WHERE m.person_id = (SELECT i.person_id FROM identity.identifier i
                                         WHERE i.id = CAST(:other AS bigint))) AS other) s
WHERE c.left_id = ANY(s.one) AND c.right_id = ANY(s.other)
   OR c.left_id = ANY(s.other) AND c.right_id = ANY(s.one);
