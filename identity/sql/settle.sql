-- An identifier that nothing links is a person of its own.
UPDATE identity.identifier SET group_id = id, person_id = id
WHERE id = ANY(CAST(:ids AS bigint[])) AND person_id IS NULL
RETURNING id;
