-- Keep TC strings of devices whose clock is years off beside those that are kept: which came last
-- nobody knows, so both must allow what is asked. What is too long for that is kept as none, which
-- allows nothing (`vendors.denied`), until a clock that is right brings another.
INSERT INTO consent.tc_string AS t (namespace, value, string, said_at)
SELECT a.namespace, a.value, a.string, least(a.said_at, statement_timestamp())
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
     AS a(namespace text, value text, string text, said_at timestamptz)
ORDER BY a.namespace, a.value
ON CONFLICT (namespace, value) DO UPDATE
SET string = CASE
      WHEN t.string = '' THEN ''
      WHEN strpos(' ' || t.string || ' ', ' ' || excluded.string || ' ') > 0 THEN t.string
      WHEN length(t.string) + length(excluded.string) > 40000 THEN ''
      ELSE t.string || ' ' || excluded.string END,
    said_at = greatest(t.said_at, excluded.said_at);
