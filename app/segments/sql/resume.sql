-- Take up again the stays that a merge, since undone, had ended; return which.
UPDATE app.segment_member m SET left_at = NULL, why_left = NULL
FROM (SELECT DISTINCT ON (m.segment_id, m.person_id)
             m.segment_id, m.person_id, m.entered_at, m.why_left
      FROM json_to_recordset(CAST(:rows AS json)) AS r(segment_id bigint, person_id bigint)
      JOIN app.segment_member m ON m.segment_id = r.segment_id AND m.person_id = r.person_id
      ORDER BY m.segment_id, m.person_id, m.entered_at DESC) last
WHERE m.segment_id = last.segment_id AND m.person_id = last.person_id
  AND m.entered_at = last.entered_at AND last.why_left = 'merged'
RETURNING m.segment_id, m.person_id;
