-- Of these pairs, how many matches are held because their run or rule was taken back.
SELECT count(*)
FROM json_to_recordset(CAST(:rows AS json)) AS r(left_id bigint, right_id bigint)
JOIN identity.link l ON l.left_id = r.left_id AND l.right_id = r.right_id AND l.kind = 'match'
WHERE l.held = 'undone' AND l.revoked_at IS NULL;
