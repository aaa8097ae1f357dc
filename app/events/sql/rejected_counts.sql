-- Count rejected events by source, code and what became of them, those that were not kept too.
SELECT source.name AS source, r.code, r.state, sum(r.events)::bigint AS events,
       max(r.last_at) AS last_at
FROM (SELECT source_id, code, state, count(*) AS events, max(received_at) AS last_at
      FROM app.rejected_event GROUP BY source_id, code, state
      UNION ALL
      SELECT source_id, code, 'not_kept:' || why, sum(events), max(hour_at)
      FROM app.rejected_count GROUP BY source_id, code, why) r
JOIN app.source source ON source.id = r.source_id
WHERE CAST(:source_id AS bigint) IS NULL OR r.source_id = :source_id
GROUP BY source.name, r.code, r.state
ORDER BY source.name, r.code, r.state;
