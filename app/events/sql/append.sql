-- Write events once: those seen before are left alone, and not returned. Ordered by the key, so
-- that writers of the same events in other batches wait for each other instead of deadlocking.
-- json_to_recordset reads a batch with one parameter: .51 of COPY at 1,000 events, where
-- executemany spends 18 times its client CPU (research/performance.md A2). One value comes back:
-- NULL when all of the :expected events were new, which spares the client a row for each.
--
-- The open partition's own unique index catches what is in it. What is in closed ones is looked
-- up, and that is as exact: PostgreSQL takes the lock on app.event before the snapshot of the
-- statement, and whoever closes a partition waits for all who hold one. So this statement sees
-- the partition that is open, and every event of the closed ones (docs/decisions/0019).
WITH target AS MATERIALIZED (
  SELECT max(part) AS part, min(part) FILTER (WHERE deduplicates) AS since
  FROM app.event_partition
  WHERE opened_at IS NOT NULL
), fresh AS (
INSERT INTO app.event (source_id, message_id, type, name, identifier_id, identifier_ids, user_id,
                       anonymous_id, occurred_at, received_at, sent_at, source_seq, refused,
                       properties, context, rest, part)
SELECT source_id, message_id, type, name, identifier_ids[1], identifier_ids, user_id,
       anonymous_id, occurred_at, received_at, sent_at, source_seq, refused,
       properties, context, rest, (SELECT part FROM target)
FROM json_to_recordset(CAST(:rows AS json)) AS r(
       source_id bigint, message_id text, type text, name text, identifier_ids bigint[],
       user_id text, anonymous_id text, occurred_at timestamptz, received_at timestamptz,
       sent_at timestamptz, source_seq bigint, refused text[], properties json, context json,
       rest json)
WHERE NOT EXISTS (
  SELECT FROM app.event e
  WHERE e.part >= (SELECT since FROM target) AND e.part < (SELECT part FROM target)
    AND e.source_id = r.source_id AND e.message_id = r.message_id)
ORDER BY source_id, message_id COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING source_id, message_id)
SELECT CASE WHEN count(*) < :expected
            THEN coalesce(json_agg(json_build_array(source_id, message_id)), '[]') END
FROM fresh;
