-- How many entries lose what was sealed of them with these keys, by what they are counted as
-- (`gone.kind`). Entries are canonical JSON, in which these words stand only where they mean this.
SELECT s.key_id, k.kind, count(*) AS entries
FROM consent.ledger_sealed s
JOIN consent.ledger_entry e USING (leaf_index)
CROSS JOIN LATERAL (
  SELECT coalesce((SELECT r FROM unnest(CAST(:records AS text[])) r
                   WHERE strpos(e.entry, '"type":"' || r || '"') > 0), 'other') AS kind
) k
WHERE s.key_id = ANY(CAST(:keys AS uuid[]))
GROUP BY s.key_id, k.kind;
