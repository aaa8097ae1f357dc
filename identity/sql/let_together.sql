-- Decisions that keep two people apart fall, whichever of their identifiers they were about, and an
-- undo that revoked the link between the two. The link keeps what fell, for its own undo; what is
-- returned is for a link that is yet to be made.
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
), revived AS (
  UPDATE identity.link l
  SET revoked_at = NULL, revoked_by = NULL,
      evidence = l.evidence || jsonb_build_object(
        'apart', CASE WHEN l.revoked_at IS NULL THEN coalesce(l.evidence -> 'apart', '[]')
                      ELSE '[]' END || t.apart)
  FROM told t
  WHERE l.left_id = CAST(:one AS bigint) AND l.right_id = CAST(:other AS bigint)
    AND l.kind = 'manual'
)
SELECT apart FROM told;
