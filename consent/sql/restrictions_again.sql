-- Set again the restrictions and objections that a restored database does not know, and end those
-- that were lifted. In the order of the journal, so that the last that was told of one counts.
WITH told AS MATERIALIZED (
  SELECT DISTINCT ON (t.entry_id) t.*
  FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (
         namespace text, value text, kind text, purpose_key text, from_at timestamptz,
         to_at timestamptz, reason_ref text, created_at timestamptz, entry_id uuid, lift_id uuid))
       WITH ORDINALITY AS t(namespace, value, kind, purpose_key, from_at, to_at, reason_ref,
                            created_at, entry_id, lift_id, place)
  ORDER BY t.entry_id, t.place DESC
), lifted AS (
  UPDATE consent.restriction r SET to_at = t.to_at, lift_id = t.lift_id
  FROM told t
  WHERE r.entry_id = t.entry_id AND t.lift_id IS NOT NULL AND r.lift_id IS NULL
  RETURNING r.id, r.namespace, r.value, r.kind, r.purpose_key
), made AS (
  INSERT INTO consent.restriction (namespace, value, kind, purpose_key, from_at, to_at, reason_ref,
                                   created_at, entry_id, lift_id)
  SELECT t.namespace, t.value, t.kind, t.purpose_key, t.from_at, t.to_at, t.reason_ref,
         t.created_at, t.entry_id, t.lift_id
  FROM told t
  WHERE NOT EXISTS (SELECT FROM consent.restriction r WHERE r.entry_id = t.entry_id)
  RETURNING id, namespace, value, kind, purpose_key, lift_id
)
SELECT id, namespace, value, kind, purpose_key, true AS made, lift_id IS NOT NULL AS lifted FROM made
UNION ALL
SELECT id, namespace, value, kind, purpose_key, false, true FROM lifted;
