-- Take these values out of what others' events say about them; matching compares them anew.
UPDATE identity.record k
SET fields = (SELECT coalesce(jsonb_object_agg(f.key, f.value), '{}')
              FROM jsonb_each(k.fields) f
              WHERE f.value #>> '{}' <> ALL(CAST(:values AS text[]))),
    said_at = (SELECT coalesce(jsonb_object_agg(f.key, k.said_at -> f.key), '{}')
               FROM jsonb_each_text(k.fields) f
               WHERE f.value <> ALL(CAST(:values AS text[]))),
    keys = NULL
WHERE EXISTS (SELECT FROM jsonb_each_text(k.fields) f
              WHERE f.value = ANY(CAST(:values AS text[])));
