-- The links that stand at these identifiers, held ones included. Of what was seen with more others
-- than a person can have: the oldest, one more than count, and what was not told to be too many.
SELECT held, id, left_id, right_id, kind, CAST(extract(epoch FROM first_at) AS float8) AS first_at,
       coalesce(probability, 1) AS probability, last_week * 7 AS day,
       EXISTS (SELECT FROM identity.suspension s WHERE s.rule = l.rule)
         OR kind = 'match'
            AND EXISTS (SELECT FROM identity.suspension s WHERE s.run_id = l.evidence_id) AS undone
FROM (SELECT l.*, row_number() OVER (PARTITION BY n.id, l.kind = 'event'
                                     ORDER BY l.first_at, l.left_id, l.right_id) AS place
      FROM unnest(CAST(:ids AS bigint[])) AS n(id)
      CROSS JOIN LATERAL (
        SELECT * FROM identity.link a WHERE a.left_id = n.id AND a.revoked_at IS NULL
        UNION ALL
        SELECT * FROM identity.link a WHERE a.right_id = n.id AND a.revoked_at IS NULL) l) l
WHERE kind <> 'event' OR place <= :most + 1 OR held IS DISTINCT FROM 'frequency';
