-- For each identifier the moments after the time given with it at which one of its records counts,
-- begins or lapses: none of nearly everybody.
SELECT DISTINCT a.namespace, a.value, m.moment
FROM json_to_recordset(CAST(:rows AS json)) AS a(namespace text, value text, at timestamptz)
JOIN consent.record r USING (namespace, value)
CROSS JOIN LATERAL (VALUES (r.order_time), (r.effective_at), (r.valid_until)) AS m(moment)
WHERE m.moment > a.at
ORDER BY m.moment;
