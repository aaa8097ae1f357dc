-- What others recorded since a mark, and the next mark. A transaction at or above the mark was not
-- yet finished when the mark was read, so that no late commit is missed; :own are the reader's own
-- transactions. One row whatever there is: a server asks this once per batch of events. More
-- identifiers than :most are not listed (NULL): whoever asks then forgets everything.
SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS mark,
       -- Another number when a version is added, and when one takes effect.
       (SELECT count(*) + count(*) FILTER (WHERE effective_from <= clock_timestamp())
        FROM consent.purpose) AS purposes,
       (SELECT CASE WHEN count(*) <= :most
                    THEN coalesce(json_agg(json_build_array(c.namespace, c.value)), '[]') END
        FROM (SELECT DISTINCT namespace, value
              FROM consent.record
              WHERE transaction >= CAST(CAST(:mark AS text) AS xid8)
                -- An upper end that is always true, or the planner reckons with a third of the
                -- table and reads all of it.
                AND transaction <= greatest(pg_snapshot_xmax(pg_current_snapshot()),
                                         pg_current_xact_id_if_assigned())
                AND transaction <> ALL (CAST(CAST(:own AS text[]) AS xid8[]))
              LIMIT :most + 1) AS c) AS identifiers;
