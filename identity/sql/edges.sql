-- The links that stand at these identifiers, held ones included, as one JSON text of columns; `day`
-- is the first of a link's last week. A link of two of them comes once; only of those held as too
-- many some come twice. Of what was seen with more others than a person can have: the oldest, one
-- more than count, and what was not told to be too many.
SELECT CAST(json_build_array(
         json_agg(held), json_agg(id), json_agg(left_id), json_agg(right_id), json_agg(kind),
         json_agg(CAST(extract(epoch FROM first_at) AS float8)), json_agg(coalesce(probability, 1)),
         json_agg(last_week * 7),
         json_agg(CASE kind
           WHEN 'match' THEN rule = ANY(ARRAY(SELECT s.rule FROM identity.suspension s
                                              WHERE s.rule IS NOT NULL))
                OR EXISTS (SELECT FROM identity.suspension s WHERE s.run_id = l.evidence_id)
           ELSE (rule || also) <@ ARRAY(SELECT s.rule FROM identity.suspension s
                                        WHERE s.rule IS NOT NULL)
         END),
         json_agg(rule = 'spelling' OR 'spelling' = ANY(also))) AS text) AS links
FROM (SELECT l.*, n.id AS at,
             row_number() OVER (PARTITION BY n.id, l.kind = 'event'
                                ORDER BY l.first_at, l.left_id, l.right_id) AS place
      FROM unnest(CAST(:ids AS bigint[])) AS n(id)
      CROSS JOIN LATERAL (
        SELECT * FROM identity.link a WHERE a.left_id = n.id AND a.revoked_at IS NULL
        UNION ALL
        SELECT * FROM identity.link a WHERE a.right_id = n.id AND a.revoked_at IS NULL) l) l
WHERE (kind <> 'event' OR place <= :most + 1 OR held IS DISTINCT FROM 'frequency')
  AND (at = left_id OR held = 'frequency'
       OR left_id NOT IN (SELECT unnest(CAST(:ids AS bigint[]))));
