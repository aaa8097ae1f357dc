-- The identifiers one link away from these.
SELECT right_id AS id FROM identity.link
WHERE left_id = ANY(CAST(:ids AS bigint[])) AND revoked_at IS NULL
UNION
SELECT left_id FROM identity.link
WHERE right_id = ANY(CAST(:ids AS bigint[])) AND revoked_at IS NULL;
