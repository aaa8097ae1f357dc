-- Forget which of these links names that are gone kept from being followed.
DELETE FROM identity.link
WHERE id = ANY(CAST(:ids AS bigint[])) AND kind = 'event' AND held = 'conflict'
RETURNING id;
