-- Whoever opted out by a universal signal that stands has opted out of a purpose that such signals
-- come to be about, as if it had been there: a browser sent its signal once, and may never come
-- again. Once each, by the newest of theirs.
INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at,
                            recorded_at, order_time, universal, collected_by, evidence)
SELECT DISTINCT ON (r.namespace, r.value)
       r.namespace, r.value, :key, :version, r.state, r.effective_at,
       statement_timestamp(), r.order_time, r.universal, 'catalogue',
       jsonb_build_object('refused', r.purpose, 'record_id', r.id,
                          'said_by', coalesce(r.evidence ->> 'said_by', r.collected_by))
         || CASE WHEN r.evidence ->> 'server_side' = 'true' THEN '{"server_side": true}'::jsonb
                 ELSE '{}'::jsonb END
         || CASE r.proof WHEN 1 THEN '{"event_stamp": true}'::jsonb
                         WHEN 2 THEN '{"claimed": true}'::jsonb ELSE '{}'::jsonb END
FROM consent.refused r
WHERE r.universal = 'opt_out' AND r.purpose = ANY(CAST(:signalled AS text[]))
  AND NOT EXISTS (
    SELECT FROM consent.opted_out o
    WHERE (o.namespace, o.value, o.purpose) = (r.namespace, r.value, :key)
    OFFSET 0)
ORDER BY r.namespace, r.value, r.order_time DESC, r.proof DESC, r.purpose;
