-- Remove rejected events that are too old, beyond their source's share, or no longer allowed.
-- octet_length() of a text that is stored out of line reads its length alone.
DELETE FROM app.rejected_event WHERE id IN (
  SELECT r.id
  FROM (SELECT id, source_id, received_at,
               row_number() OVER newest AS place,
               sum(coalesce(octet_length(payload), 0)) OVER newest AS kept
        FROM app.rejected_event
        WINDOW newest AS (PARTITION BY source_id ORDER BY id DESC
                          ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) r
  LEFT JOIN app.source ON source.id = r.source_id
  WHERE r.received_at < :oldest OR r.place > :most OR r.kept > :bytes
     OR source.collection_purpose <> ALL (CAST(:lawful AS text[])) OR source.id IS NULL
  LIMIT :at_once)
RETURNING id;
