-- The journal of refusals says what stands of these; not of who was changed once more meanwhile.
DELETE FROM consent.journal_due d
USING jsonb_to_recordset(CAST(:rows AS jsonb)) AS told(namespace text, value text, transaction text)
WHERE (d.namespace, d.value, d.transaction)
    = (told.namespace, told.value, CAST(told.transaction AS xid8));
