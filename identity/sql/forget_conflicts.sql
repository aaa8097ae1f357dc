-- Forget which of these links names that are gone kept from being followed: between two of other
-- names, or at the device of two.
DELETE FROM identity.link
WHERE id = ANY(CAST(:ids AS bigint[])) AND kind = 'event' AND held IN ('conflict', 'visitors')
RETURNING id;
