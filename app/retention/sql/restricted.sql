-- The identifiers of those of these people of whom nothing may be used for a time, and so nothing
-- goes for not being allowed: whose processing is restricted (GDPR art. 18), and who has an address
-- or number of which it is not known yet how it is spelled now (as app/consents/sql/permission.sql).
WITH person AS (
  SELECT mine.person_id
  FROM consent.restriction d
  JOIN identity.current_person mine USING (namespace, value)
  WHERE d.kind = 'restriction'
    AND (d.to_at IS NULL OR d.to_at > clock_timestamp())
    AND mine.person_id = ANY(CAST(:people AS bigint[]))
  UNION
  SELECT mine.person_id
  FROM identity.sweep w
  JOIN identity.current_person mine
    ON mine.identifier_id > w.position AND mine.identifier_id <= w.until
  WHERE w.what = 'spelling:' AND w.finished_at IS NULL AND mine.namespace IN ('email', 'phone')
    AND mine.person_id = ANY(CAST(:people AS bigint[]))
)
SELECT other.identifier_id
FROM person
JOIN identity.current_person other USING (person_id);
