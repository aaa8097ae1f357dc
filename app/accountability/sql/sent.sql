-- What a destination was sent: messages, people, and when the last one was taken.
SELECT count(*) AS delivered, count(DISTINCT person_id) AS people, max(ended_at) AS last
FROM app.delivery
WHERE destination_id = :destination AND state = 'delivered';
