-- The grants on record, by what proves them.
SELECT count(*) AS records,
       count(*) FILTER (WHERE r.notice IS NULL) AS without_notice,
       count(*) FILTER (WHERE r.evidence ->> 'notice_not_proven' = 'true') AS notice_not_proven,
       count(*) FILTER (WHERE r.unproven) AS unproven,
       count(*) FILTER (WHERE r.stamp) AS event_stamps,
       count(*) FILTER (WHERE n.conditional_on_service) AS conditional_on_service
FROM consent.record r
LEFT JOIN consent.notice n
  ON n.key = r.notice ->> 'key' AND n.version = CAST(r.notice ->> 'version' AS bigint)
 AND n.language = r.notice ->> 'language'
WHERE r.state = 'given';
