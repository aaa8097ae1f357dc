-- Take these values out of what others' events say about them; matching compares them anew, also
-- where it has read them before. Who says nothing any more is compared with nobody, so what that
-- record was matched by is taken back here, and no review asks about it.
WITH redacted AS (
  UPDATE identity.record k
  SET fields = (SELECT coalesce(jsonb_object_agg(f.key, f.value), '{}')
                FROM jsonb_each(k.fields) f
                WHERE f.value #>> '{}' <> ALL(CAST(:values AS text[]))),
      said_at = (SELECT coalesce(jsonb_object_agg(f.key, k.said_at -> f.key), '{}')
                 FROM jsonb_each_text(k.fields) f
                 WHERE f.value <> ALL(CAST(:values AS text[]))),
      changed_at = clock_timestamp(),
      keys = NULL
  WHERE k.identifier_id = ANY(CAST(:ids AS bigint[]))
    AND EXISTS (SELECT FROM jsonb_each_text(k.fields) f
                WHERE f.value = ANY(CAST(:values AS text[])))
  RETURNING k.identifier_id, k.fields
), silent AS MATERIALIZED (
  SELECT ARRAY(SELECT identifier_id FROM redacted WHERE fields = '{}') AS ids
), outscored AS (
  UPDATE identity.link l SET probability = 0
  WHERE l.kind = 'match' AND l.revoked_at IS NULL
    AND (l.left_id = ANY(CAST((SELECT ids FROM silent) AS bigint[]))
      OR l.right_id = ANY(CAST((SELECT ids FROM silent) AS bigint[])))
), closed AS (
  DELETE FROM identity.review r
  WHERE r.decision IS NULL
    AND (r.left_id = ANY(CAST((SELECT ids FROM silent) AS bigint[]))
      OR r.right_id = ANY(CAST((SELECT ids FROM silent) AS bigint[])))
)
SELECT identifier_id FROM redacted;
