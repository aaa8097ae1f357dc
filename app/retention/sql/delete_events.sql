-- Delete these events of a partition, and note them for the lake in the same transaction; one whose
-- file is being written anew already is out of it now.
WITH gone AS (
  DELETE FROM app.event e
  USING unnest(CAST(:transactions AS text[]), CAST(:ids AS bigint[])) AS x(transaction, id)
  WHERE e.part = :part AND e.transaction = CAST(x.transaction AS xid8) AND e.id = x.id
  RETURNING e.id
), noted AS (
  INSERT INTO app.lake_removal AS r (event_id) SELECT id FROM gone
  ON CONFLICT (event_id) DO UPDATE SET again = false
)
SELECT count(*) FROM gone;
