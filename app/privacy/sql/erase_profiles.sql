-- Forget what is known of people of these ids, beside their events. Readers of the feed who were
-- told of one of them are told last that it is gone.
WITH trait AS (
  DELETE FROM app.trait WHERE identifier_id = ANY(CAST(:ids AS bigint[])) RETURNING identifier_id
), said AS (
  DELETE FROM app.trait_value WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
), computed AS (
  DELETE FROM app.computed_value WHERE subject_id = ANY(CAST(:ids AS bigint[]))
), touched AS (
  DELETE FROM app.touched WHERE identifier_id = ANY(CAST(:ids AS bigint[])) RETURNING id
), listed AS (
  DELETE FROM app.people_list_member WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
), grouped AS (
  DELETE FROM app.account_member WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
), group_trait AS (
  DELETE FROM app.account_trait WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
), account AS (  -- of which nobody else says anything
  DELETE FROM app.account a
  WHERE a.id IN (SELECT account_id FROM app.account_member
                 WHERE identifier_id = ANY(CAST(:ids AS bigint[]))
                 UNION SELECT account_id FROM app.account_trait
                 WHERE identifier_id = ANY(CAST(:ids AS bigint[])))
    AND NOT EXISTS (SELECT FROM app.account_member m WHERE m.account_id = a.id
                      AND m.identifier_id <> ALL(CAST(:ids AS bigint[])))
    AND NOT EXISTS (SELECT FROM app.account_trait t WHERE t.account_id = a.id
                      AND t.identifier_id <> ALL(CAST(:ids AS bigint[])))
), timer AS (
  DELETE FROM app.journey_due WHERE person_id = ANY(CAST(:ids AS bigint[]))
), deviation AS (
  DELETE FROM app.journey_deviation WHERE subject_id = ANY(CAST(:ids AS bigint[]))
), news AS (
  DELETE FROM app.change WHERE person_id = ANY(CAST(:ids AS bigint[]))
  RETURNING person_id, profile_id
), told AS (
  INSERT INTO app.change (type, person_id, profile_id, at, data)
  SELECT DISTINCT 'profile.erased', person_id, profile_id, CAST(:at AS timestamptz), '{}'::jsonb
  FROM news
  RETURNING id
), arrival AS (
  UPDATE app.plan_violation_arrival SET message_id = ''
  WHERE message_id = ANY(CAST(:message_ids AS text[]))
), violation AS (
  UPDATE app.plan_violation SET message_id = ''
  WHERE message_id = ANY(CAST(:message_ids AS text[]))
)
SELECT (SELECT count(*) FROM trait) AS traits, (SELECT count(*) FROM news) AS changes;
