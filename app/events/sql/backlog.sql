-- How many events a reader has still to read, and when the first of them was received.
WITH mark AS MATERIALIZED (
  SELECT p.transaction, p.event_id,
         (SELECT coalesce(max(c.part), 0) FROM app.event_partition c
          WHERE c.closed_by <= p.transaction) AS passed
  FROM app.progress p WHERE p.reader = :reader)
SELECT count(*) AS events, min(e.received_at) AS oldest
FROM (SELECT received_at FROM app.event
      WHERE (transaction, id) > ((SELECT transaction FROM mark), (SELECT event_id FROM mark))
        AND part > (SELECT passed FROM mark)
      ORDER BY transaction, id
      LIMIT :most) e;
