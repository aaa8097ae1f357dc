-- How many entries that had something sealed have nothing any more, by what they are counted as
-- (`gone.kind`): asked once in the life of a ledger, when the sealer begins to count.
SELECT k.kind, count(*) AS entries
FROM consent.ledger_entry e
CROSS JOIN LATERAL (
  SELECT coalesce((SELECT r FROM unnest(CAST(:records AS text[])) r
                   WHERE strpos(e.entry, '"type":"' || r || '"') > 0), 'other') AS kind
) k
WHERE (k.kind <> 'other' OR strpos(e.entry, '"body":"') > 0)
  AND NOT EXISTS (SELECT FROM consent.ledger_sealed s WHERE s.leaf_index = e.leaf_index)
GROUP BY k.kind;
