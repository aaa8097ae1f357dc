-- Forget identifiers, and their part in merges and splits; what happened among others stays.
WITH merge AS (
  DELETE FROM identity.merge
  WHERE survivor_id = ANY(CAST(:ids AS bigint[])) OR absorbed_id = ANY(CAST(:ids AS bigint[]))
  RETURNING id
), thinner_merge AS (
  UPDATE identity.merge
  SET absorbed_identifier_ids = ARRAY(SELECT n FROM unnest(absorbed_identifier_ids) n
                                      WHERE n <> ALL(CAST(:ids AS bigint[])) ORDER BY n)
  WHERE absorbed_identifier_ids && CAST(:ids AS bigint[])
    AND survivor_id <> ALL(CAST(:ids AS bigint[])) AND absorbed_id <> ALL(CAST(:ids AS bigint[]))
), split AS (
  DELETE FROM identity.split
  WHERE person_id = ANY(CAST(:ids AS bigint[])) OR part_id = ANY(CAST(:ids AS bigint[]))
  RETURNING id
), thinner_split AS (
  UPDATE identity.split
  SET identifier_ids = ARRAY(SELECT n FROM unnest(identifier_ids) n
                             WHERE n <> ALL(CAST(:ids AS bigint[])) ORDER BY n)
  WHERE identifier_ids && CAST(:ids AS bigint[])
    AND person_id <> ALL(CAST(:ids AS bigint[])) AND part_id <> ALL(CAST(:ids AS bigint[]))
), identifier AS (
  DELETE FROM identity.identifier WHERE id = ANY(CAST(:ids AS bigint[])) RETURNING id
)
SELECT (SELECT count(*) FROM merge) AS merges, (SELECT count(*) FROM split) AS splits,
       (SELECT count(*) FROM identifier) AS identifiers;
