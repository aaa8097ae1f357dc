-- Forget the evidence of sends about these identifiers, whose hashes in manifests say nothing then;
-- and take them out of what was denied and read, of which others may be told too.
WITH sent AS (
  DELETE FROM app.disclosure WHERE identifier_ids && CAST(:ids AS bigint[])
), alone AS (
  DELETE FROM app.denied_use
  WHERE identifier_ids && CAST(:ids AS bigint[]) AND identifier_ids <@ CAST(:ids AS bigint[])
), read_alone AS (
  DELETE FROM app.person_read
  WHERE identifier_ids && CAST(:ids AS bigint[]) AND identifier_ids <@ CAST(:ids AS bigint[])
), read_too AS (
  UPDATE app.person_read r
  SET identifier_ids = ARRAY(SELECT i FROM unnest(r.identifier_ids) AS i
                             WHERE i <> ALL(CAST(:ids AS bigint[])) ORDER BY i)
  WHERE r.identifier_ids && CAST(:ids AS bigint[])
    AND NOT r.identifier_ids <@ CAST(:ids AS bigint[])
)
UPDATE app.denied_use d
SET identifier_ids = ARRAY(SELECT i FROM unnest(d.identifier_ids) AS i
                           WHERE i <> ALL(CAST(:ids AS bigint[])) ORDER BY i)
WHERE d.identifier_ids && CAST(:ids AS bigint[]) AND NOT d.identifier_ids <@ CAST(:ids AS bigint[]);
