-- Decide that two identifiers are one person: the link between the two is made, or counts again where
-- an undo revoked it. Decisions that keep the two people apart fall, whichever of their identifiers
-- they were about; the link keeps what fell, for its own undo.
WITH sides AS (
  SELECT ARRAY(SELECT m.id FROM identity.identifier m
               WHERE m.person_id = (SELECT i.person_id FROM identity.identifier i
                                    WHERE i.id = CAST(:one AS bigint))) AS one,
         ARRAY(SELECT m.id FROM identity.identifier m
               WHERE m.person_id = (SELECT i.person_id FROM identity.identifier i
                                    WHERE i.id = CAST(:other AS bigint))) AS other
), fallen AS (
  DELETE FROM identity.cannot_link c
  USING sides s
  WHERE c.left_id = ANY(s.one) AND c.right_id = ANY(s.other)
     OR c.left_id = ANY(s.other) AND c.right_id = ANY(s.one)
  RETURNING c.left_id, c.right_id, c.decided_by, c.reason, c.decided_at
), told AS (
  SELECT coalesce(jsonb_agg(to_jsonb(f)), '[]') AS apart FROM fallen f
)
INSERT INTO identity.link AS l (kind, left_id, right_id, rule, first_at, last_week, evidence)
SELECT 'manual', CAST(:one AS bigint), CAST(:other AS bigint), 'decision', CAST(:at AS timestamptz),
       CAST(floor(extract(epoch FROM CAST(:at AS timestamptz)) / 604800) AS bigint),
       jsonb_build_object('by', CAST(:by AS text), 'apart', t.apart)
FROM told t
WHERE CAST(:one AS bigint) < CAST(:other AS bigint)
ON CONFLICT (left_id, right_id, kind) DO UPDATE
   SET revoked_at = NULL, revoked_by = NULL,
       evidence = l.evidence || jsonb_build_object(
         'apart', CASE WHEN l.revoked_at IS NULL THEN coalesce(l.evidence -> 'apart', '[]')
                       ELSE '[]' END || (excluded.evidence -> 'apart'));
