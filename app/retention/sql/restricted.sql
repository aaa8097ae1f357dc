-- The identifiers of those of these people whose processing is restricted (GDPR art. 18).
SELECT other.identifier_id
FROM consent.restriction d
JOIN identity.current_person mine USING (namespace, value)
JOIN identity.current_person other ON other.person_id = mine.person_id
WHERE d.kind = 'restriction' AND d.from_at <= clock_timestamp()
  AND (d.to_at IS NULL OR d.to_at > clock_timestamp())
  AND mine.person_id = ANY(CAST(:people AS bigint[]));
