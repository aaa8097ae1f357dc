-- Write what was refused after a backup into the database that was restored from it. It counts from
-- when it did; it is recorded now, where this ledger can say so, and keeps when it was before. What
-- is here already is left as it is.
INSERT INTO consent.record (id, namespace, value, purpose, purpose_version, state, effective_at,
                            recorded_at, order_time, notice, collected_by, evidence, universal)
SELECT DISTINCT ON (r.id)
       r.id, r.namespace, r.value, r.purpose, r.purpose_version, r.state, r.effective_at,
       statement_timestamp(), r.order_time, r.notice, r.collected_by,
       r.evidence || jsonb_build_object('recorded_before', r.recorded_at), r.universal
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
       id uuid, namespace text, value text, purpose text, purpose_version bigint, state text,
       effective_at timestamptz, recorded_at timestamptz, order_time timestamptz, notice jsonb,
       collected_by text, evidence jsonb, universal text)
WHERE r.state <> 'given'
ORDER BY r.id
ON CONFLICT (id) DO NOTHING
RETURNING namespace, value, purpose, state;
