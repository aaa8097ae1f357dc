-- The next :limit identifiers with traits, what they say of accounts, or what matching compares, of which
-- nothing was heard since :before, and since when; of these alone, where :ids are given. What matching
-- knows without its time counts from when it was kept.
SELECT t.identifier_id, greatest(max(least(t.occurred_at, t.received_at)), heard.at) AS at
FROM (
  SELECT identifier_id, occurred_at, received_at FROM app.trait
  UNION ALL SELECT identifier_id, occurred_at, received_at FROM app.account_trait
  UNION ALL SELECT identifier_id, coalesce(seen_at, left_at), coalesce(seen_at, left_at)
            FROM app.account_member
  UNION ALL SELECT k.identifier_id, said.at, said.at
            FROM identity.record k
            CROSS JOIN LATERAL (
              SELECT coalesce(to_timestamp(max(CAST(s.value AS bigint)) / 1e6), k.changed_at) AS at
              FROM jsonb_each_text(k.said_at) s) said
            WHERE k.fields <> '{}'
) t
LEFT JOIN LATERAL (
  SELECT least(e.occurred_at, e.received_at) AS at FROM app.event e
  WHERE e.identifier_id = t.identifier_id
  ORDER BY e.occurred_at DESC LIMIT 1
) heard ON true
WHERE t.identifier_id > :after
  AND (CAST(:ids AS bigint[]) IS NULL OR t.identifier_id = ANY(CAST(:ids AS bigint[])))
GROUP BY t.identifier_id, heard.at
HAVING greatest(max(least(t.occurred_at, t.received_at)), heard.at) < :before
ORDER BY t.identifier_id
LIMIT :limit;
