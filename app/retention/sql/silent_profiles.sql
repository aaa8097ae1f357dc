-- The next :limit identifiers after :after with traits, with what they say of accounts, or of whom
-- matching compares anything, and when something was heard of each last; of these alone, where :ids
-- are given. What matching knows without its time counts from when it was kept. Chosen first, or
-- each portion looks at all who come after it.
SELECT next.identifier_id, greatest(said.at, heard.at) AS at
FROM (
  SELECT identifier_id FROM (
    (SELECT DISTINCT identifier_id FROM app.trait
     WHERE identifier_id > :after
       AND (CAST(:ids AS bigint[]) IS NULL OR identifier_id = ANY(CAST(:ids AS bigint[])))
     ORDER BY 1 LIMIT :limit)
    UNION
    (SELECT DISTINCT identifier_id FROM app.account_trait
     WHERE identifier_id > :after
       AND (CAST(:ids AS bigint[]) IS NULL OR identifier_id = ANY(CAST(:ids AS bigint[])))
     ORDER BY 1 LIMIT :limit)
    UNION
    (SELECT DISTINCT identifier_id FROM app.account_member
     WHERE identifier_id > :after
       AND (CAST(:ids AS bigint[]) IS NULL OR identifier_id = ANY(CAST(:ids AS bigint[])))
     ORDER BY 1 LIMIT :limit)
    UNION
    (SELECT identifier_id FROM identity.record
     WHERE identifier_id > :after AND fields <> '{}'
       AND (CAST(:ids AS bigint[]) IS NULL OR identifier_id = ANY(CAST(:ids AS bigint[])))
     ORDER BY 1 LIMIT :limit)
  ) every ORDER BY 1 LIMIT :limit
) next
CROSS JOIN LATERAL (
  SELECT max(t.at) AS at FROM (
    SELECT least(occurred_at, received_at) AS at FROM app.trait
    WHERE identifier_id = next.identifier_id
    UNION ALL
    SELECT least(occurred_at, received_at) FROM app.account_trait
    WHERE identifier_id = next.identifier_id
    UNION ALL
    SELECT coalesce(seen_at, left_at) FROM app.account_member
    WHERE identifier_id = next.identifier_id
    UNION ALL
    SELECT coalesce((SELECT to_timestamp(max(CAST(s.value AS bigint)) / 1e6)
                     FROM jsonb_each_text(k.said_at) s), k.changed_at)
    FROM identity.record k
    WHERE k.identifier_id = next.identifier_id AND k.fields <> '{}') t
) said
LEFT JOIN LATERAL (
  SELECT least(e.occurred_at, e.received_at) AS at FROM app.event e
  WHERE e.identifier_id = next.identifier_id
  ORDER BY e.occurred_at DESC LIMIT 1
) heard ON true
ORDER BY next.identifier_id;
