-- Forget what is too old, but leave each source its newest row: it says when it was last seen.
-- What came of held and rejected events says nothing of the kind.
DELETE FROM app.tally t
WHERE t.span = 3600 AND t.at < :before
  AND (t.outcome IN ('released', 'destroyed', 'replayed')
       OR EXISTS (SELECT FROM app.tally newer
                  WHERE newer.source_id = t.source_id AND (newer.at, newer.id) > (t.at, t.id)
                    AND newer.outcome NOT IN ('released', 'destroyed', 'replayed')));
