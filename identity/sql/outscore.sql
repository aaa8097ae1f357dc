-- Note that these matches are likely no more. Their weights stay, as what they were once linked for.
UPDATE identity.link SET probability = 0
WHERE id = ANY (CAST(:ids AS bigint[])) AND kind = 'match' AND revoked_at IS NULL
RETURNING left_id, right_id;
