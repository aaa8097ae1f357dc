-- Whoever refused the purpose above one has refused that one, as if it had been there: all of it that
-- stands, also by a universal signal; and it is proved as well as what they said themselves.
INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at,
                            recorded_at, order_time, universal, collected_by, evidence)
SELECT r.namespace, r.value, :key, :version, r.state, r.effective_at,
       statement_timestamp(), r.order_time, r.universal, 'catalogue',
       jsonb_build_object('refused', CAST(:parent AS text), 'record_id', r.id,
                          'said_by', coalesce(r.evidence ->> 'said_by', r.collected_by))
         || CASE WHEN r.evidence ->> 'server_side' = 'true' THEN '{"server_side": true}'::jsonb
                 ELSE '{}'::jsonb END
         || CASE r.proof WHEN 1 THEN '{"event_stamp": true}'::jsonb
                         WHEN 2 THEN '{"claimed": true}'::jsonb ELSE '{}'::jsonb END
FROM consent.refused r
WHERE r.purpose = :parent
ORDER BY r.namespace, r.value, r.order_time, r.proof;
