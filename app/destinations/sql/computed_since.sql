-- Who is held by a destination that maps a computed trait which was computed after the record was
-- last looked at. Nobody is looked for where no mapping has one.
SELECT DISTINCT h.destination_id, h.person_id, h.profile_id
FROM (SELECT d.id, t.id AS trait_id
      FROM app.destination d
      CROSS JOIN LATERAL jsonb_each(d.mapping) AS m
      JOIN app.computed_trait t ON t.key = m.value ->> 'computed'
      WHERE d.enabled) mapped
JOIN app.held_record h ON h.destination_id = mapped.id AND cardinality(h.segments) > 0
JOIN app.computed_value v ON v.trait_id = mapped.trait_id AND v.subject_id = h.person_id
WHERE v.computed_at > h.sent_at
  AND NOT EXISTS (SELECT FROM app.delivery w
                  WHERE w.destination_id = h.destination_id AND w.person_id = h.person_id
                    AND w.state = 'waiting' AND w.attempts = 0);
