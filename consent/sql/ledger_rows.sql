-- Entries of a range, with what is sealed of them and the records they are about.
SELECT e.leaf_index, e.entry, e.leaf_hash, e.about, s.key_id, s.sealed,
       CAST(to_jsonb(r) - 'transaction' - 'seq' AS text) AS body
FROM consent.ledger_entry e
LEFT JOIN consent.ledger_sealed s USING (leaf_index)
LEFT JOIN consent.record r ON r.id = e.about
WHERE e.leaf_index >= :first AND e.leaf_index < :past
ORDER BY e.leaf_index;
