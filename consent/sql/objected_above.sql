-- Whoever objected to the purpose above one objects to that one, until their request is lifted.
INSERT INTO consent.restriction (namespace, value, kind, purpose_key, from_at, to_at, reason_ref)
SELECT d.namespace, d.value, d.kind, :key, statement_timestamp(), d.to_at, d.reason_ref
FROM consent.restriction d
WHERE d.kind = 'objection' AND d.purpose_key = :parent
  AND (d.to_at IS NULL OR d.to_at > statement_timestamp() + interval '1 s')
RETURNING id;
