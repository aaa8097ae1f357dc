-- A page of the stays in a segment, those of one person after another, the earlier first.
SELECT m.person_id, i.profile_id, m.entered_at, m.left_at, m.why_left, m.version
FROM app.segment_member m
JOIN identity.current_person i ON i.identifier_id = m.person_id
WHERE m.segment_id = :segment_id
  AND (m.person_id, m.entered_at) > (CAST(:person AS bigint), CAST(:entered_at AS timestamptz))
ORDER BY m.person_id, m.entered_at
LIMIT :limit;
