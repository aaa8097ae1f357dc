-- Write events once: those seen before are left alone, and not returned. Ordered by the key, so
-- that writers of the same events in other batches wait for each other instead of deadlocking.
-- json_to_recordset reads a batch with one parameter: .51 of COPY at 1,000 events, where
-- executemany spends 18 times its client CPU (research/performance.md A2). One value comes back:
-- NULL when all of the :expected events were new, which spares the client a row for each.
WITH fresh AS (
INSERT INTO app.event (source_id, message_id, type, name, identifier_id, identifier_ids, user_id,
                       anonymous_id, occurred_at, received_at, sent_at, source_seq, refused,
                       properties, context, rest)
SELECT source_id, message_id, type, name, identifier_ids[1], identifier_ids, user_id,
       anonymous_id, occurred_at, received_at, sent_at, source_seq, refused,
       properties, context, rest
FROM json_to_recordset(CAST(:rows AS json)) AS r(
       source_id bigint, message_id text, type text, name text, identifier_ids bigint[],
       user_id text, anonymous_id text, occurred_at timestamptz, received_at timestamptz,
       sent_at timestamptz, source_seq bigint, refused text[], properties json, context json,
       rest json)
ORDER BY source_id, message_id
ON CONFLICT (source_id, message_id) DO NOTHING
RETURNING source_id, message_id)
SELECT CASE WHEN count(*) < :expected
            THEN coalesce(json_agg(json_build_array(source_id, message_id)), '[]') END
FROM fresh;
