-- Replace the rows of each source, outcome and reason by one per `span` seconds, so that reading a
-- day costs the same after a busy day. In one statement: a reader sees the rows or their sum.
-- Only spans that have ended wholly are taken, each of them once.
WITH taken AS (
    DELETE FROM app.tally
    WHERE span < CAST(:span AS bigint)
      AND at < date_bin(make_interval(secs => CAST(:span AS bigint)), :before, timestamptz 'epoch')
    RETURNING source_id, at, outcome, reason, events
)
INSERT INTO app.tally (source_id, at, span, outcome, reason, events)
SELECT source_id,
       date_bin(make_interval(secs => CAST(:span AS bigint)), at, timestamptz 'epoch') AS bin,
       CAST(:span AS bigint), outcome, reason, sum(events)
FROM taken
GROUP BY source_id, bin, outcome, reason;
