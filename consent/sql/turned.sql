-- Whose word came to mean something else by itself after :since and until :until: a grant or a TC
-- string lapsed, a grant began, a demand or an age began or ended, or a new version of the purpose made grants stale
-- or came to be below another that was refused or, as marketing, objected to. What is refused there
-- counts from when the version was added, which may be long before it takes effect.
WITH RECURSIVE marketing AS ( -- as `catalogue.WITH_MARKETING`
  SELECT CAST('marketing' AS text) AS key
  UNION SELECT p.key FROM consent.purpose p JOIN marketing m ON p.parent = m.key
)
SELECT r.namespace, r.value, r.purpose, CASE WHEN EXISTS (
  -- Who had renewed it before was never without.
  SELECT FROM consent.record n
  WHERE n.namespace = r.namespace AND n.value = r.value AND n.purpose = r.purpose
    AND n.state = 'given' AND n.recorded_at <= r.valid_until AND n.effective_at <= r.valid_until
    AND (n.valid_until IS NULL OR n.valid_until > r.valid_until)
) THEN 'given' ELSE 'expired' END AS state
FROM consent.record r
WHERE r.state = 'given' AND r.valid_until > :since AND r.valid_until <= :until
UNION
SELECT namespace, value, 'all', 'tc_string_expired'
FROM consent.tc_string
WHERE consent.tc_ends(string) > :since AND consent.tc_ends(string) <= :until
UNION
SELECT namespace, value, purpose, 'given'
FROM consent.record
WHERE state = 'given' AND effective_at > recorded_at
  AND effective_at > :since AND effective_at <= :until
UNION
SELECT namespace, value, coalesce(purpose_key, 'all'), kind
FROM consent.restriction
WHERE from_at > :since AND from_at <= :until
UNION
SELECT namespace, value, coalesce(purpose_key, 'all'), kind || '_ended'
FROM consent.restriction
WHERE to_at > :since AND to_at <= :until
UNION
SELECT namespace, value, 'all', band
FROM consent.age_band
WHERE from_at > :since AND from_at <= :until
UNION
SELECT namespace, value, 'all', band || '_ended'
FROM consent.age_band
WHERE to_at > :since AND to_at <= :until
UNION
SELECT c.namespace, c.value, c.purpose, 'stale_notice'
FROM consent.purpose p
JOIN consent.current c ON c.purpose = p.key AND c.state = 'given' AND c.purpose_version < p.version
WHERE p.effective_from > :since AND p.effective_from <= :until
  -- One renews as well that covers more than an earlier one; looking too often harms nobody.
  AND (p.renews OR p.lawful_basis = 'consent' AND EXISTS (
    SELECT FROM consent.purpose q
    WHERE q.key = p.key AND q.version < p.version
      AND (p.explicit AND NOT q.explicit
           OR NOT coalesce(nullif(p.declared -> 'special_categories', 'null'), '[]')
                  <@ coalesce(nullif(q.declared -> 'special_categories', 'null'), '[]'))))
UNION
SELECT r.namespace, r.value, r.purpose, r.state
FROM consent.purpose p
JOIN consent.record r ON r.collected_by = 'catalogue' AND r.evidence ->> 'refused' = p.parent
WHERE p.effective_from > :since AND p.effective_from <= :until
   OR p.created_at > :since AND p.created_at <= :until
UNION
-- Universal opt-outs that a purpose heard when such signals came to be about it, or one above it.
SELECT r.namespace, r.value, r.purpose, r.state
FROM consent.record r
WHERE r.universal = 'opt_out' AND r.collected_by = 'catalogue' AND r.recorded_at > :since
  AND EXISTS (SELECT FROM consent.purpose p WHERE p.created_at > :since AND p.created_at <= :until)
UNION
-- Of a purpose that was there before: what is new is used for nothing yet, nor has anything below it.
SELECT d.namespace, d.value, 'all', d.kind
FROM consent.restriction d
WHERE d.kind = 'objection_marketing' AND (d.to_at IS NULL OR d.to_at > :since)
  AND EXISTS (
    SELECT FROM consent.purpose p
    WHERE (p.effective_from > :since AND p.effective_from <= :until
           OR p.created_at > :since AND p.created_at <= :until)
      AND (p.direct_marketing OR p.key IN (SELECT key FROM marketing))
      AND EXISTS (SELECT FROM consent.purpose q WHERE q.key = p.key AND q.version < p.version));
