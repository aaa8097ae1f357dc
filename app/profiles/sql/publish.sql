-- Append news to the feed in the order given, each with the profile id of whom it is about. They come
-- after all that was committed by now: who waited for a lock began before whom it waited for, and its
-- own number would have told that somebody left before they came. Their number is no less than ours,
-- so that who reads up to the oldest transaction under way passes over none.
INSERT INTO app.change (transaction, type, person_id, profile_id, at, data)
SELECT greatest(pg_current_xact_id(), s.newest), r.type, r.person_id, p.profile_id, :at,
       CASE WHEN o.profile_id IS NULL THEN r.data
            ELSE r.data || jsonb_build_object('other_profile_id', o.profile_id) END
FROM ROWS FROM (json_to_recordset(CAST(:rows AS json))
       AS (type text, person_id bigint, other_person_id bigint, data jsonb))
     WITH ORDINALITY AS r(type, person_id, other_person_id, data, n)
CROSS JOIN (SELECT CAST(CAST(CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)
                             - 1 AS text) AS xid8) AS newest) s
LEFT JOIN identity.current_person p ON p.identifier_id = r.person_id
LEFT JOIN identity.current_person o ON o.identifier_id = r.other_person_id
ORDER BY r.n;
