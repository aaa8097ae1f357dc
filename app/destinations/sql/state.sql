-- How it goes at each destination: what waits and since when, what failed lately, what was taken last.
SELECT t.id,
       (SELECT count(*) FROM app.delivery d
        WHERE d.destination_id = t.id AND d.state = 'waiting') AS waiting,
       (SELECT min(d.created_at) FROM app.delivery d
        WHERE d.destination_id = t.id AND d.state = 'waiting') AS waiting_since,
       (SELECT count(*) FROM app.delivery d
        WHERE d.destination_id = t.id AND d.state = 'failed') AS failed,
       (SELECT count(*) FROM app.held_record h
        WHERE h.destination_id = t.id AND cardinality(h.segments) > 0 AND NOT h.absent) AS held,
       (SELECT max(d.ended_at) FROM app.delivery d
        WHERE d.destination_id = t.id AND d.state = 'delivered') AS delivered_at
FROM app.destination t
WHERE t.id = ANY(CAST(:ids AS bigint[]));
