-- Sum what writers appended up into its hours. Names that senders invented are told apart up to a
-- number per source and hour, those that have a row already first; the others are counted
-- together, so that nobody fills the table. What belongs to a deleted version goes.
WITH taken AS (
    DELETE FROM app.plan_violation_arrival
    WHERE id IN (SELECT id FROM app.plan_violation_arrival ORDER BY id LIMIT :limit)
    RETURNING *
), summed AS (
    SELECT t.version_id, t.source_id, date_trunc('hour', t.first_at) AS hour, t.type, t.event,
           t.pointer, t.keyword, t.action, bool_or(t.invented) AS invented,
           sum(t.events) AS events, min(t.first_at) AS first_at, max(t.last_at) AS last_at,
           (array_agg(t.message_id ORDER BY t.id))[1] AS message_id
    FROM taken t
    JOIN app.tracking_plan_version v ON v.id = t.version_id
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
), placed AS (
    SELECT s.*,
           s.invented AND k.version_id IS NULL AND row_number() OVER (
               PARTITION BY s.source_id, s.hour, s.invented AND k.version_id IS NULL
               ORDER BY s.events DESC, s.event, s.pointer, s.version_id, s.type, s.action
           ) > CAST(:most AS bigint) - (
               SELECT count(*) FROM app.plan_violation h
               WHERE h.source_id = s.source_id AND h.hour = s.hour AND h.invented
           ) AS beyond
    FROM summed s
    LEFT JOIN app.plan_violation k USING (version_id, source_id, hour, type, event, pointer,
                                          keyword, action)
), written AS (
    INSERT INTO app.plan_violation AS p (version_id, source_id, hour, type, event, pointer,
                                         keyword, action, invented, events, first_at, last_at,
                                         message_id)
    SELECT version_id, source_id, hour, type,
           CASE WHEN beyond AND keyword = CAST(:unplanned AS text) THEN CAST(:other AS text)
                ELSE event END,
           CASE WHEN beyond AND keyword <> CAST(:unplanned AS text)
                THEN regexp_replace(pointer, '/[^/]*$', '/*') ELSE pointer END,
           keyword, action, bool_and(invented AND NOT beyond), sum(events), min(first_at),
           max(last_at), (array_agg(message_id ORDER BY first_at))[1]
    FROM placed
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ON CONFLICT (version_id, source_id, hour, type, event, pointer, keyword, action) DO UPDATE
    SET events = p.events + excluded.events,
        first_at = least(p.first_at, excluded.first_at),
        last_at = greatest(p.last_at, excluded.last_at)
)
SELECT count(*) FROM taken;
