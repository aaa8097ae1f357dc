-- State in the ledger that restrictions were lifted.
INSERT INTO consent.ledger_statement (about, kind, public, namespace, value, body)
SELECT d.lift_id, 'restriction',
       jsonb_strip_nulls(jsonb_build_object(
         'event', 'lifted', 'restriction', d.kind, 'purpose', d.purpose_key,
         'to', to_char(d.to_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"'))),
       d.namespace, d.value, CAST(to_jsonb(d) - 'id' AS text)
FROM consent.restriction d
WHERE d.id = ANY(CAST(:ids AS bigint[]))
ORDER BY d.id;
