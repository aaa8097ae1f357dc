-- Count rejected events that are not kept, by hour, code and why.
INSERT INTO app.rejected_count AS counted (source_id, hour_at, code, why, events)
SELECT :source_id, date_trunc('hour', CAST(:at AS timestamptz)), code, why, events
FROM json_to_recordset(CAST(:rows AS json)) AS r(code text, why text, events bigint)
ON CONFLICT (source_id, hour_at, code, why) DO UPDATE SET
  events = counted.events + excluded.events;
