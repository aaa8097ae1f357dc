-- For each identifier: the time of its newest record, and the first moment after the time given
-- with it at which one of its records begins or lapses by itself.
SELECT a.namespace, a.value, max(r.order_time) AS newest,
       least(min(r.valid_until) FILTER (WHERE r.valid_until > a.at),
             min(r.effective_at) FILTER (WHERE r.effective_at > a.at)) AS next
FROM json_to_recordset(CAST(:rows AS json)) AS a(namespace text, value text, at timestamptz)
JOIN consent.record r USING (namespace, value)
GROUP BY a.namespace, a.value;
