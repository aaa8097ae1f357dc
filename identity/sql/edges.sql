-- The links that stand at these identifiers, held ones included, as one JSON text of why each
-- is held and what it is, `day` being the first of its last week; some of them come twice.
-- Of what was seen with more others than a person can have: the oldest, one more than count, and
-- what was not told to be too many. Of 8,000 links, rows of columns cost Python 70 ms more.
SELECT CAST(coalesce(json_agg(json_build_array(held, json_build_array(
         id, left_id, right_id, kind, extract(epoch FROM first_at), coalesce(probability, 1),
         last_week * 7,
         CASE kind
           WHEN 'match' THEN rule = ANY(ARRAY(SELECT s.rule FROM identity.suspension s
                                              WHERE s.rule IS NOT NULL))
                OR EXISTS (SELECT FROM identity.suspension s WHERE s.run_id = l.evidence_id)
           ELSE (rule || also) <@ ARRAY(SELECT s.rule FROM identity.suspension s WHERE s.rule IS NOT NULL)
         END))), '[]') AS text) AS links
FROM (SELECT l.*, row_number() OVER (PARTITION BY n.id, l.kind = 'event'
                                     ORDER BY l.first_at, l.left_id, l.right_id) AS place
      FROM unnest(CAST(:ids AS bigint[])) AS n(id)
      CROSS JOIN LATERAL (
        SELECT * FROM identity.link a WHERE a.left_id = n.id AND a.revoked_at IS NULL
        UNION ALL
        SELECT * FROM identity.link a WHERE a.right_id = n.id AND a.revoked_at IS NULL) l) l
WHERE kind <> 'event' OR place <= :most + 1 OR held IS DISTINCT FROM 'frequency';
