-- Delete held events and give their room back.
WITH gone AS (
  DELETE FROM app.held WHERE id = ANY (CAST(:ids AS bigint[]))
  RETURNING id, source_id, octet_length(sealed) AS size
), noted AS (
  INSERT INTO app.held_room (source_id, events, bytes)
  SELECT source_id, -count(*), -sum(size) FROM gone GROUP BY source_id
)
SELECT id, source_id FROM gone;
