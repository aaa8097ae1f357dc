-- Events of others in one partition that carry identifiers of an erased person, or name them
-- anywhere (:pattern, null where nothing can be looked for in free text), or by a hash of an address
-- (:digests, as patterns). Locked, because they are written whole: what is destroyed in between would
-- come back.
SELECT e.id, e.identifier_id, e.message_id, e.name, e.user_id, e.anonymous_id, e.identifier_ids,
       CAST(e.properties AS text) AS properties, CAST(e.context AS text) AS context,
       CAST(e.rest AS text) AS rest
FROM app.event e
CROSS JOIN LATERAL (
  SELECT concat_ws(' ', e.message_id, e.name, e.properties, e.context, e.rest) AS text OFFSET 0) said
WHERE e.part = :part
  AND (e.identifier_ids && CAST(:ids AS bigint[])
    OR e.user_id = ANY(CAST(:values AS text[]))
    OR e.anonymous_id = ANY(CAST(:values AS text[]))
    OR said.text ~* CAST(:pattern AS text)
    OR lower(said.text) LIKE ANY(CAST(:digests AS text[])))
ORDER BY e.transaction, e.id
FOR UPDATE OF e;
