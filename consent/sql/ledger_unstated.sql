-- Restrictions that were set or lifted without the ledger: how many, and the first of them.
SELECT count(*) AS restrictions, CAST((array_agg(u.about ORDER BY u.id))[1] AS text) AS first
FROM (
  SELECT id, entry_id AS about FROM consent.restriction
  UNION ALL
  SELECT id, lift_id FROM consent.restriction WHERE lift_id IS NOT NULL
) u
WHERE NOT EXISTS (SELECT FROM consent.ledger_entry e WHERE e.about = u.about)
  AND NOT EXISTS (SELECT FROM consent.ledger_statement s WHERE s.about = u.about);
