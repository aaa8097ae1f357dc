-- Take up again the stay that a merge, since undone, had ended; return who did.
UPDATE app.segment_member m SET left_at = NULL, why_left = NULL
FROM (SELECT DISTINCT ON (person_id) person_id, entered_at, why_left
      FROM app.segment_member
      WHERE segment_id = :segment_id AND person_id = ANY(CAST(:people AS bigint[]))
      ORDER BY person_id, entered_at DESC) last
WHERE m.segment_id = :segment_id AND m.person_id = last.person_id
  AND m.entered_at = last.entered_at AND last.why_left = 'merged'
RETURNING m.person_id;
