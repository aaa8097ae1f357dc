-- Restrictions, objections and ages of identifiers of whom the journal of refusals does not say yet
-- what stands.
SELECT d.namespace, d.value, CAST(d.transaction AS text) AS transaction,
       (SELECT coalesce(jsonb_agg(to_jsonb(r) - ARRAY['id', 'namespace', 'value'] ORDER BY r.id), '[]')
        FROM consent.restriction r
        WHERE r.namespace = d.namespace AND r.value = d.value) AS restrictions,
       (SELECT coalesce(jsonb_agg(to_jsonb(a) - ARRAY['id', 'namespace', 'value'] ORDER BY a.id), '[]')
        FROM consent.age_band a
        WHERE a.namespace = d.namespace AND a.value = d.value) AS ages
FROM consent.journal_due d
ORDER BY d.namespace, d.value
LIMIT :most;
