-- Note the blocking keys of records that have been matched; not of who has changed meanwhile, or is
-- to be compared again. Those of who is not new are otherwise only after an upgrade.
UPDATE identity.record r
SET keys = w.keys
FROM json_to_recordset(CAST(:rows AS json)) AS w(id bigint, keys bigint[], changed_at timestamptz,
                                                  is_new boolean)
WHERE r.identifier_id = w.id AND r.changed_at = w.changed_at
  AND (r.keys IS NULL) = w.is_new AND r.keys IS DISTINCT FROM w.keys;
