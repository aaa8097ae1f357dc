-- Append choices. Unless :repeat, one that says what stood at its time already is left out. A
-- refusal of what was given before is a withdrawal. A grant dated in the future does not stand yet,
-- and so does not make one that acts now a repetition. The stamp of an event (evidence.event_stamp)
-- never lifts what was refused explicitly: a browser goes on saying what its banner said once. Nor
-- does what an importer states of others, who may not know of it.
-- Of universal opt-outs the first is written: it stands until a grant that overrides it, and browsers
-- go on sending it after that.
-- Recorded is at most now by this clock, the only one that all servers share.
INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at,
                            recorded_at, order_time, valid_until, notice, collected_by, evidence,
                            universal)
SELECT r.namespace, r.value, r.purpose, r.purpose_version,
       CASE WHEN r.state = 'refused' AND stood.state = 'given' THEN 'withdrawn' ELSE r.state END,
       r.effective_at,
       r.recorded_at, r.order_time, r.valid_until, r.notice, r.collected_by, r.evidence,
       r.universal
FROM (
  SELECT namespace, value, purpose, purpose_version, state, effective_at,
         least(received_at, statement_timestamp()) AS recorded_at,
         least(effective_at, received_at, statement_timestamp()) AS order_time,
         valid_until, notice, collected_by, evidence, universal
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS said(
         namespace text, value text, purpose text, purpose_version bigint, state text,
         effective_at timestamptz, received_at timestamptz,
         valid_until timestamptz, notice jsonb, collected_by text, evidence jsonb,
         universal text)
) r
LEFT JOIN LATERAL (
  SELECT CASE WHEN s.state = 'given' AND s.valid_until <= r.order_time THEN 'expired'
              ELSE s.state END AS state,
         s.stamp
  FROM consent.record s
  WHERE s.namespace = r.namespace AND s.value = r.value AND s.purpose = r.purpose
    AND s.order_time <= r.order_time
    AND (s.state <> 'given' OR s.effective_at <= r.effective_at)
  ORDER BY s.order_time DESC, (s.state = 'given'), s.recorded_at DESC, s.seq DESC
  LIMIT 1
) stood ON true
CROSS JOIN LATERAL (
  SELECT coalesce(r.evidence ->> 'event_stamp' = 'true', false)
           OR r.evidence ->> 'stated_by_importer' IS NOT NULL AS stamp
) said
WHERE :repeat
   OR r.universal = 'opt_out' AND NOT EXISTS (
        SELECT FROM consent.record o
        WHERE o.namespace = r.namespace AND o.value = r.value AND o.purpose = r.purpose
          AND o.universal = 'opt_out' AND o.order_time <= r.order_time)
   OR r.universal IS DISTINCT FROM 'opt_out' AND (
        stood.state IS NULL OR stood.state = 'expired'
        OR r.state = 'given' AND stood.state <> 'given' AND (stood.stamp OR NOT said.stamp)
        OR r.state <> 'given' AND (stood.state = 'given' OR stood.stamp AND NOT said.stamp))
ORDER BY r.order_time
RETURNING id, namespace, value, purpose, state, CAST(transaction AS text) AS transaction,
          order_time, effective_at, valid_until;
