-- Note that matches are likely no more: both records were compared again, and the pair is not among
-- the :likely ones. Their weights stay, as what they were once linked for.
WITH compared AS MATERIALIZED (SELECT unnest(CAST(:compared AS bigint[])) AS id)
UPDATE identity.link l SET probability = 0
WHERE l.kind = 'match' AND l.revoked_at IS NULL AND l.probability > 0
  AND l.left_id IN (SELECT id FROM compared) AND l.right_id IN (SELECT id FROM compared)
  AND NOT EXISTS (SELECT FROM json_to_recordset(CAST(:likely AS json)) AS p(l bigint, r bigint)
                  WHERE p.l = l.left_id AND p.r = l.right_id)
RETURNING l.left_id, l.right_id;
