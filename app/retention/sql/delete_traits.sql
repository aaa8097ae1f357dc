-- Forget what is known of these identifiers beside events.
WITH said AS (
  DELETE FROM app.trait_value WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
), grouped AS (
  DELETE FROM app.account_member WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
), group_trait AS (
  DELETE FROM app.account_trait WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
)
DELETE FROM app.trait WHERE identifier_id = ANY(CAST(:ids AS bigint[])) RETURNING identifier_id;
