-- Every version of every purpose and notice, as the ledger holds it. A notice's text stands there
-- by its hash, which is computed anew. `content` is compared member by member, so that later columns change nothing.
SELECT 'purpose' AS kind, key, version, '' AS language, NULL AS sha256,
       CAST(to_jsonb(p) - 'created_at' AS text) AS content
FROM consent.purpose p
UNION ALL
SELECT 'notice', key, version, language, body_sha256,
       CAST(to_jsonb(n) - 'created_at' - 'body' || jsonb_build_object(
         'body_sha256', encode(sha256(convert_to(n.body, 'UTF8')), 'hex')) AS text)
FROM consent.notice n
ORDER BY 1 DESC, 2, 3, 4;
