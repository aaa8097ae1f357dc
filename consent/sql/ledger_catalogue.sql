-- Every version of every purpose and notice, as the ledger holds it. A notice's text stands there
-- by its hash, which is computed anew and has to be the one that is kept. `content` is compared
-- member by member, so that later columns change nothing.
SELECT 'purpose' AS kind, key, version, '' AS language, NULL AS sha256,
       CAST(to_jsonb(p) - 'created_at' AS text) AS content, created_at
FROM consent.purpose p
UNION ALL
SELECT 'notice', key, version, language, body_sha256,
       CAST(to_jsonb(n) - 'created_at' - 'body' || jsonb_build_object(
         'body_sha256', CASE WHEN body_sha256 = h.hex THEN h.hex ELSE h.hex || '?' END) AS text),
       created_at
FROM consent.notice n, LATERAL (SELECT encode(sha256(convert_to(n.body, 'UTF8')), 'hex')) h(hex)
ORDER BY 1 DESC, 2, 3, 4;
