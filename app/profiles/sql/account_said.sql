-- What is said of the traits of some accounts, of each by each source the :most latest, by whom, but what
-- was stamped against the purpose.
SELECT t.account_id, t.key, t.value, t.occurred_at, t.received_at, t.source_seq, t.event_id,
       t.message_id, s.name AS source, t.identifier_id, i.person_id, i.group_id, i.namespace,
       i.value AS value_of
FROM (SELECT o.*, row_number() OVER (
        PARTITION BY o.account_id, o.key, o.source_id
        ORDER BY least(o.occurred_at, o.received_at) DESC,
                 coalesce(o.source_seq, 4611686018427387903) DESC, o.received_at DESC, o.event_id DESC
      ) AS place
      FROM app.account_trait o
      WHERE o.account_id = ANY(CAST(:accounts AS bigint[])) AND NOT (:purpose = ANY(o.refused))) t
JOIN app.source s ON s.id = t.source_id
JOIN identity.current_person i ON i.identifier_id = t.identifier_id
WHERE t.place <= CAST(:most AS bigint);
