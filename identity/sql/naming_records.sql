-- Whose events' attributes have one of these values.
SELECT k.identifier_id
FROM identity.record k
WHERE EXISTS (SELECT FROM jsonb_each_text(k.fields) f
              WHERE f.value = ANY(CAST(:values AS text[])))
ORDER BY k.identifier_id;
