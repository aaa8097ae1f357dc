-- How many events stand after a reader's mark (two scalar subqueries: see next_batch.sql).
SELECT count(*)
FROM app.event e
WHERE (e.transaction, e.id) > ((SELECT transaction FROM app.progress WHERE reader = :reader),
                               (SELECT event_id FROM app.progress WHERE reader = :reader));
