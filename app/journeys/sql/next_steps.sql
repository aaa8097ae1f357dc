-- Where people went next in each journey: from a touchpoint, and from it after a certain other one.
SELECT f.journey, f.computed_at, n.before, n.total, n.following
FROM unnest(CAST(:journeys AS text[]), CAST(:befores AS text[]), CAST(:lasts AS text[]))
     AS w (journey, before, last)
JOIN app.journey_flow f USING (journey)
LEFT JOIN app.journey_next n ON n.journey = w.journey AND n.touchpoint = w.last
                            AND n.before IN ('', w.before)
ORDER BY f.journey, n.before;
