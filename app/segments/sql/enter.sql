-- Open stays.
INSERT INTO app.segment_member (segment_id, person_id, entered_at, version)
SELECT r.segment_id, r.person_id, CAST(:at AS timestamptz), r.version
FROM json_to_recordset(CAST(:rows AS json))
     AS r(segment_id bigint, person_id bigint, version bigint);
