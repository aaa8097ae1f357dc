-- End open stays, each for its reason. No earlier than it began: a step that waited for a look began
-- before it, and clocks are set back.
UPDATE app.segment_member m
SET left_at = greatest(CAST(:at AS timestamptz), m.entered_at), why_left = r.why
FROM json_to_recordset(CAST(:rows AS json)) AS r(segment_id bigint, person_id bigint, why text)
WHERE m.segment_id = r.segment_id AND m.person_id = r.person_id AND m.left_at IS NULL;
