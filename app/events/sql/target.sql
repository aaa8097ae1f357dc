-- The partition that is open for writing, and the first one whose message ids still count. For its
-- INSERT, which never has a row, this statement locks app.event before it takes its snapshot, as
-- append.sql does: no roll-over happens between it and the end of its transaction. LOCK TABLE
-- would be one round trip more.
WITH target AS MATERIALIZED (
  SELECT max(part) AS part, min(part) FILTER (WHERE deduplicates) AS since
  FROM app.event_partition
  WHERE opened_at IS NOT NULL
), locked AS (
  INSERT INTO app.event (part) SELECT part FROM target WHERE false
)
SELECT part, since FROM target;
