-- Forget what is too old, but leave each source its newest row: it says when it was last seen.
DELETE FROM app.tally t
WHERE t.span = 3600 AND t.at < :before
  AND EXISTS (SELECT FROM app.tally newer
              WHERE newer.source_id = t.source_id AND (newer.at, newer.id) > (t.at, t.id));
