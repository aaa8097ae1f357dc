-- Take these values out of what others' events say about them; matching compares them anew, also
-- where it has read them before.
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
RETURNING k.identifier_id, k.fields = '{}' AS silent;
