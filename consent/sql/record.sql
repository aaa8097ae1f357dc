-- Append choices. Unless :repeat, what only says again what stands is left out. Of an answer that
-- is what came twice, of the same time: what arrives later from between two answers would else
-- change which was the last. Of what a browser goes on saying with every event
-- (evidence.event_stamp), or an importer states, it is all that says nothing else than what stood
-- at its time. And that never lifts a refusal that is proved better, nor one as well proved where
-- later ones may have been left out as repetitions: where it comes later than a minute to a
-- refusal that was on record when it was said, or a minute ago. What an importer states lifts
-- none. Nor does any of these make a grant count again that is stale or has lapsed: a browser
-- goes on saying what its banner said once. Only where it says that the person answered after
-- what lapsed was given (answered_at), and that answer counts still, it renews that; and so it
-- does what was given to an earlier version of the purpose, which a later one may have made
-- stale. A child's yes takes the place of no guardian's. A refusal of what was given before is a
-- withdrawal. A grant dated in the future does not stand yet, and so does not make one that acts
-- now a repetition. Of universal opt-outs the first is written: it stands until a grant that
-- overrides it, and browsers go on sending it after that. Recorded is at most now by this clock,
-- the only one that all servers share. It may be set back: what was recorded while it was ahead
-- would outrank a refusal that comes later, once its time has come, so that one counts from there.
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
         greatest(least(effective_at, received_at, statement_timestamp()),
                  (SELECT max(a.order_time) FROM consent.record a
                   WHERE said.state <> 'given'
                     AND a.namespace = said.namespace AND a.value = said.value
                     AND a.purpose = said.purpose
                     AND a.order_time > statement_timestamp())) AS order_time,
         valid_until, notice, collected_by, evidence, universal, answered_at,
         consent.proof(state, namespace, collected_by, evidence) AS proof
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS said(
         namespace text, value text, purpose text, purpose_version bigint, state text,
         effective_at timestamptz, received_at timestamptz,
         valid_until timestamptz, notice jsonb, collected_by text, evidence jsonb,
         universal text, answered_at timestamptz)
) r
LEFT JOIN LATERAL (
  SELECT CASE WHEN s.state = 'given' AND s.valid_until <= r.order_time THEN 'expired'
              ELSE s.state END AS state,
         s.proof, s.order_time, s.guardian, s.purpose_version, s.recorded_at,
         CASE WHEN s.stamp THEN CAST(s.evidence ->> 'answered_at' AS timestamptz)
              END AS answered_at
  FROM consent.record s
  WHERE s.namespace = r.namespace AND s.value = r.value AND s.purpose = r.purpose
    AND s.order_time <= r.order_time
    AND (s.state <> 'given' OR s.effective_at <= r.effective_at)
  ORDER BY s.order_time DESC, (s.state = 'given'), s.recorded_at DESC, s.seq DESC
  LIMIT 1
) stood ON true
WHERE :repeat
   OR r.universal = 'opt_out' AND NOT EXISTS (
        SELECT FROM consent.record o
        WHERE o.namespace = r.namespace AND o.value = r.value AND o.purpose = r.purpose
          AND o.universal = 'opt_out' AND o.order_time <= r.order_time)
   OR r.universal IS DISTINCT FROM 'opt_out' AND CASE
        WHEN r.state = 'given' AND stood.state = 'given' AND stood.guardian AND EXISTS (
               SELECT FROM consent.age_band a
               WHERE a.namespace = r.namespace AND a.value = r.value AND a.band = 'child'
                 AND a.from_at <= r.order_time AND (a.to_at IS NULL OR a.to_at > r.order_time))
          THEN false
        WHEN r.proof > 1
          THEN (stood.order_time = r.order_time AND stood.proof >= r.proof
                AND (stood.state = 'given') = (r.state = 'given')) IS NOT TRUE
        WHEN stood.state IS NULL THEN true
        WHEN r.state = 'given' AND stood.state IN ('given', 'expired')
          THEN r.answered_at > coalesce(stood.answered_at, stood.order_time)
            AND (r.valid_until > r.order_time OR r.valid_until IS NULL)
            AND (stood.state = 'expired' OR r.purpose_version > stood.purpose_version)
            AND stood.guardian IS NOT TRUE  -- which were the child's word otherwise
        WHEN stood.state = 'expired' THEN true
        WHEN r.state = 'given'
          THEN stood.proof <= r.proof AND r.evidence ->> 'stated_by_importer' IS NULL
            AND (r.recorded_at <= r.order_time + interval '1 min'
                 OR stood.recorded_at > greatest(r.order_time, r.recorded_at - interval '1 min'))
        ELSE stood.state = 'given' OR stood.proof < r.proof END
ORDER BY r.order_time
RETURNING id, namespace, value, purpose, state, CAST(transaction AS text) AS transaction,
          order_time, effective_at, valid_until;
