-- Whose word came to mean something else by itself after :since and until :until: a grant lapsed or
-- began, a demand or an age began or ended, or a new version of the purpose made grants stale
-- or came to be below another that was refused.
SELECT namespace, value, purpose, 'expired' AS state
FROM consent.record
WHERE state = 'given' AND valid_until > :since AND valid_until <= :until
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
WHERE p.effective_from > :since AND p.effective_from <= :until;
