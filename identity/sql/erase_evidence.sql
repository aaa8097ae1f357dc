-- Forget what connects identifiers with others, and what is known of them.
WITH link AS (
  DELETE FROM identity.link
  WHERE left_id = ANY(CAST(:ids AS bigint[])) OR right_id = ANY(CAST(:ids AS bigint[]))
  RETURNING id
), apart AS (
  DELETE FROM identity.cannot_link
  WHERE left_id = ANY(CAST(:ids AS bigint[])) OR right_id = ANY(CAST(:ids AS bigint[]))
  RETURNING left_id
), review AS (
  DELETE FROM identity.review
  WHERE left_id = ANY(CAST(:ids AS bigint[])) OR right_id = ANY(CAST(:ids AS bigint[]))
  RETURNING id
), label AS (
  DELETE FROM identity.label
  WHERE left_id = ANY(CAST(:ids AS bigint[])) OR right_id = ANY(CAST(:ids AS bigint[]))
  RETURNING id
), postponement AS (
  DELETE FROM identity.postponement
  WHERE left_id = ANY(CAST(:ids AS bigint[])) OR right_id = ANY(CAST(:ids AS bigint[]))
  RETURNING left_id
), record AS (
  DELETE FROM identity.record WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
  RETURNING identifier_id
)
SELECT (SELECT count(*) FROM link) AS links, (SELECT count(*) FROM apart) AS constraints,
       (SELECT count(*) FROM review) AS reviews, (SELECT count(*) FROM label) AS labels,
       (SELECT count(*) FROM postponement) AS postponements, (SELECT count(*) FROM record) AS records;
