-- Decisions that fell for a link count again when the link is taken back, as they were.
INSERT INTO identity.cannot_link (left_id, right_id, decided_by, reason, decided_at)
SELECT left_id, right_id, decided_by, reason, decided_at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
       left_id bigint, right_id bigint, decided_by text, reason text, decided_at timestamptz)
ON CONFLICT DO NOTHING;
