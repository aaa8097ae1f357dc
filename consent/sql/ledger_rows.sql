-- Entries of a range, with what is sealed of them and what they are about as it is today: a consent
-- record, or a restriction as it was set or lifted. Lifting ends one that was set without an end.
SELECT e.leaf_index, e.entry, e.leaf_hash, e.about, s.key_id, s.sealed,
       CAST(r.transaction AS text) AS transaction, r.seq,
       CAST(coalesce(
         to_jsonb(r) - 'transaction',
         to_jsonb(d) - 'id' - 'lift_id'
           || CASE WHEN d.lift_id IS NULL THEN '{}' ELSE '{"to_at": null}'::jsonb END,
         to_jsonb(l) - 'id') AS text) AS body
FROM consent.ledger_entry e
LEFT JOIN consent.ledger_sealed s USING (leaf_index)
LEFT JOIN consent.record r ON r.id = e.about
LEFT JOIN consent.restriction d ON d.entry_id = e.about
LEFT JOIN consent.restriction l ON l.lift_id = e.about
WHERE e.leaf_index >= :first AND e.leaf_index < :past
ORDER BY e.leaf_index;
