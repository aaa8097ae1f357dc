-- For each identifier: the time of its newest record, and the moments around the time given with it
-- at which one of its records last and next begins or lapses by itself. Between these two nothing
-- changes. A refusal counts from its order_time on, a grant from its effective_at.
SELECT a.namespace, a.value, max(r.order_time) AS newest,
       max(m.moment) FILTER (WHERE m.moment <= a.at) AS since,
       min(m.moment) FILTER (WHERE m.moment > a.at) AS next
FROM json_to_recordset(CAST(:rows AS json)) AS a(namespace text, value text, at timestamptz)
JOIN consent.record r USING (namespace, value)
CROSS JOIN LATERAL (VALUES (r.order_time), (r.effective_at), (r.valid_until)) AS m(moment)
GROUP BY a.namespace, a.value;
