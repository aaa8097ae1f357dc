-- Write entries, and beside them what is sealed of them. An entry about what has one already is
-- refused by the unique index: better no ledger for a while than one that says things twice.
WITH r AS MATERIALIZED (
  SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r(
    leaf_index bigint, entry text, leaf_hash text, about uuid, key_id uuid, sealed text)
), beside AS (
  INSERT INTO consent.ledger_sealed (leaf_index, key_id, sealed)
  SELECT leaf_index, key_id, decode(sealed, 'base64') FROM r WHERE sealed IS NOT NULL
)
INSERT INTO consent.ledger_entry (leaf_index, entry, leaf_hash, about)
SELECT leaf_index, entry, decode(leaf_hash, 'base64'), about FROM r ORDER BY leaf_index;
