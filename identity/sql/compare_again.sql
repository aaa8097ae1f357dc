-- Who changed their mind about being linked, or is restricted no more, is compared again: others may
-- have come meanwhile.
UPDATE identity.record r SET keys = NULL
FROM identity.identifier i
WHERE r.identifier_id = i.id AND r.keys IS NOT NULL
  AND i.person_id IN (SELECT person_id FROM identity.identifier
                      WHERE id = ANY(CAST(:ids AS bigint[])));
