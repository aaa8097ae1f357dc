-- The matches that stand, as (id, left, right).
SELECT id, left_id, right_id FROM identity.link
WHERE kind = 'match' AND revoked_at IS NULL AND probability > 0;
