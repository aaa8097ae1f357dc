-- Who says nothing any more is compared with nobody: what these records were matched by is taken back,
-- and no review asks about them.
WITH outscored AS (
  UPDATE identity.link SET probability = 0
  WHERE kind = 'match' AND revoked_at IS NULL
    AND (left_id = ANY(CAST(:ids AS bigint[])) OR right_id = ANY(CAST(:ids AS bigint[])))
)
DELETE FROM identity.review
WHERE decision IS NULL
  AND (left_id = ANY(CAST(:ids AS bigint[])) OR right_id = ANY(CAST(:ids AS bigint[])));
