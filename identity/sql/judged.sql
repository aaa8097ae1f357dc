-- Matches that stand and reviews that nobody has decided, of which one side is among these records.
SELECT DISTINCT found.kind, found.id, found.left_id, found.right_id
FROM unnest(CAST(:ids AS bigint[])) one(id)
CROSS JOIN LATERAL (
  SELECT 'match' AS kind, l.id, l.left_id, l.right_id FROM identity.link l
  WHERE l.left_id = one.id AND l.kind = 'match' AND l.revoked_at IS NULL AND l.probability > 0
  UNION ALL
  SELECT 'match', l.id, l.left_id, l.right_id FROM identity.link l
  WHERE l.right_id = one.id AND l.kind = 'match' AND l.revoked_at IS NULL AND l.probability > 0
  UNION ALL
  SELECT 'review', r.id, r.left_id, r.right_id FROM identity.review r
  WHERE r.left_id = one.id AND r.decision IS NULL
  UNION ALL
  SELECT 'review', r.id, r.left_id, r.right_id FROM identity.review r
  WHERE r.right_id = one.id AND r.decision IS NULL
) found
ORDER BY found.kind, found.id;
