-- State restrictions in the ledger as they were set. Who the request was of is sealed: in public it
-- would tell which entries belong together.
INSERT INTO consent.ledger_statement (about, kind, public, namespace, value, body)
SELECT d.entry_id, 'restriction',
       jsonb_strip_nulls(jsonb_build_object(
         'event', 'set', 'restriction', d.kind, 'purpose', d.purpose_key,
         'from', to_char(d.from_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"'))),
       d.namespace, d.value, CAST(to_jsonb(d) - 'id' - 'lift_id' AS text)
FROM consent.restriction d
WHERE d.id = ANY(CAST(:ids AS bigint[]))
ORDER BY d.id;
