-- Which processors were told of people of these ids, and by which identifiers as far as that is on
-- record. What takes back or rights a message names nobody to its receiver.
SELECT p.destination_id,
       ARRAY(SELECT DISTINCT i
             FROM app.disclosure s CROSS JOIN LATERAL unnest(s.identifier_ids) AS i
             WHERE s.destination_id = p.destination_id
               AND s.identifier_ids && CAST(:ids AS bigint[]) AND i = ANY(CAST(:ids AS bigint[]))
               AND CAST(s.leaf AS jsonb) ->> 'reason' <> 'told_before'
             ORDER BY i) AS identifier_ids
FROM app.processor p
WHERE EXISTS (SELECT FROM app.delivery m
              WHERE m.destination_id = p.destination_id AND m.sent
                AND m.person_id = ANY(CAST(:ids AS bigint[])))
   OR EXISTS (SELECT FROM app.disclosure s
              WHERE s.destination_id = p.destination_id
                AND s.identifier_ids && CAST(:ids AS bigint[]))
ORDER BY p.destination_id;
