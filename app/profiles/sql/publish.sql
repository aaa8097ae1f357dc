-- Append news to the feed in the order given, each with the profile id of whom it is about.
INSERT INTO app.change (type, person_id, profile_id, at, data)
SELECT r.type, r.person_id, p.profile_id, :at,
       CASE WHEN o.profile_id IS NULL THEN r.data
            ELSE r.data || jsonb_build_object('other_profile_id', o.profile_id) END
FROM ROWS FROM (json_to_recordset(CAST(:rows AS json))
       AS (type text, person_id bigint, other_person_id bigint, data jsonb))
     WITH ORDINALITY AS r(type, person_id, other_person_id, data, n)
LEFT JOIN identity.current_person p ON p.identifier_id = r.person_id
LEFT JOIN identity.current_person o ON o.identifier_id = r.other_person_id
ORDER BY r.n;
