-- For each identifier with records the moments after the time given with it at which one of them
-- counts, begins or lapses: none of nearly everybody.
SELECT a.namespace, a.value,
       array_agg(DISTINCT m.moment ORDER BY m.moment) FILTER (WHERE m.moment > a.at) AS moments
FROM json_to_recordset(CAST(:rows AS json)) AS a(namespace text, value text, at timestamptz)
JOIN consent.record r USING (namespace, value)
CROSS JOIN LATERAL (VALUES (r.order_time), (r.effective_at), (r.valid_until)) AS m(moment)
GROUP BY a.namespace, a.value;
