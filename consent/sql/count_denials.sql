-- Add to the day's counters of denied uses.
INSERT INTO consent.denial (day, use, purpose, reason, denials)
SELECT r.day, r.use, r.purpose, r.reason, r.denials
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
  AS r(day date, use text, purpose text, reason text, denials bigint)
ON CONFLICT (day, use, purpose, reason)
DO UPDATE SET denials = consent.denial.denials + excluded.denials;
