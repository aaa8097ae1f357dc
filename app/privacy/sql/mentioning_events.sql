-- Events of others in one partition that carry identifiers of an erased person, or name them
-- anywhere (:pattern, null where nothing can be looked for in free text). Locked, because they are
-- written whole: what is destroyed in between would come back.
SELECT e.id, e.identifier_id, e.message_id, e.name, e.user_id, e.anonymous_id, e.identifier_ids,
       CAST(e.properties AS text) AS properties, CAST(e.context AS text) AS context,
       CAST(e.rest AS text) AS rest
FROM app.event e
WHERE e.part = :part
  AND (e.identifier_ids && CAST(:ids AS bigint[])
    OR e.user_id = ANY(CAST(:values AS text[]))
    OR e.anonymous_id = ANY(CAST(:values AS text[]))
    OR concat_ws(' ', e.message_id, e.name, e.properties, e.context, e.rest)
       ~* CAST(:pattern AS text))
ORDER BY e.transaction, e.id
FOR UPDATE OF e;
