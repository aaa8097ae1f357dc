-- Count the outcomes of one batch, and wake who listens on :channel, if it is said. Rows are only
-- added, never updated: a counter that several writers raise would make them wait for each other
-- until each has committed.
WITH counted AS (
  INSERT INTO app.tally (source_id, at, outcome, reason, events)
  SELECT source_id, :at, outcome, reason, events
  FROM json_to_recordset(CAST(:rows AS json))
       AS r(source_id bigint, outcome text, reason text, events bigint)
)
SELECT pg_notify(CAST(:channel AS text), '') WHERE CAST(:channel AS text) IS NOT NULL;
