-- The accounts that calls name for the first time; and of the others, since when they are known.
INSERT INTO app.account AS a (type, key, first_seen_at)
SELECT r.type, r.key, min(least(r.occurred_at, r.received_at))
FROM json_to_recordset(CAST(:rows AS json)) AS r(
       type text, key text, occurred_at timestamptz, received_at timestamptz)
GROUP BY r.type, r.key
ORDER BY r.type, r.key
ON CONFLICT (type, key) DO UPDATE SET first_seen_at = excluded.first_seen_at
 WHERE excluded.first_seen_at < a.first_seen_at;
