-- For each identifier: may what it brought be used for :purpose now, and why. The set form of consent.decide; tests/app/test_permission.py holds the
-- two equal on random histories. A grant flows over asserted links (group), a refusal over
-- probable ones too (person), and so does a demand that use stops (GDPR art. 18, 21). Asked of some
-- people only, said_by_some.sql takes the place of what is between the marks.
WITH said AS (
-- <everybody
  SELECT i.identifier_id, i.namespace, i.group_id, i.person_id, s.state, s.order_time,
         s.purpose_version, s.account_wide, s.stamp, s.unproven
  FROM identity.current_person i
  LEFT JOIN consent.current s
    ON s.namespace = i.namespace AND s.value = i.value AND s.purpose = :purpose
-- everybody>
), voice AS (
  SELECT identifier_id, group_id, person_id, order_time, account_wide,
         CASE WHEN state IS NULL THEN 'unknown'
              WHEN state <> 'given' THEN state
              WHEN purpose_version < :renewed THEN 'stale_notice'
              WHEN unproven THEN 'unproven'
              WHEN :explicit AND stamp THEN 'not_explicit'
              ELSE 'given' END AS state
  FROM said
), bar AS (
  SELECT b.person_id, bool_or(b.restriction) AS restricted
  FROM (
  SELECT i.person_id, d.kind = 'restriction' AS restriction
  FROM consent.restriction d
  JOIN identity.current_person i USING (namespace, value)
  WHERE d.from_at <= clock_timestamp() AND (d.to_at IS NULL OR d.to_at > clock_timestamp())
    AND (d.purpose_key IS NULL OR d.purpose_key = :purpose OR d.kind = 'objection_marketing')
    AND CASE d.kind WHEN 'restriction' THEN :restrictable
                    WHEN 'objection_marketing' THEN :direct_marketing
                    ELSE CASE WHEN d.purpose_key IS NULL THEN :objectable
                              ELSE NOT :unconditional END END
  UNION ALL
  -- What is said by the new spelling of an address or number is not heard yet: nothing goes.
  SELECT s.person_id, true
  FROM said s
  WHERE :restrictable AND s.namespace IN ('email', 'phone')
    AND EXISTS (SELECT FROM identity.sweep w
                WHERE w.what = 'spelling:' AND w.finished_at IS NULL
                  AND s.identifier_id > w.position AND s.identifier_id <= w.until)
  ) b
  GROUP BY b.person_id
), account AS (
  SELECT voice.*,
         max(order_time) FILTER (WHERE state = 'given' AND account_wide
                                 AND CAST(:mode AS text) = 'latest_explicit') OVER g AS wide
  FROM voice
  WINDOW g AS (PARTITION BY person_id, group_id)
), word AS (
  SELECT account.*,
         state = 'withdrawn' AND (wide IS NULL OR order_time >= wide) AS withdrew,
         state = 'refused' AND (wide IS NULL OR order_time >= wide) AS refuses,
         array_position(ARRAY['expired', 'stale_notice', 'unproven', 'not_explicit'], state)
           AS lapse
  FROM account
), heard AS (
  SELECT identifier_id, group_id, person_id,
         CASE WHEN CAST(:mode AS text) = 'per_identifier' THEN withdrew
              ELSE bool_or(withdrew) OVER g END AS withdrawn,
         CASE WHEN CAST(:mode AS text) = 'per_identifier' THEN refuses
              ELSE bool_or(refuses) OVER g END AS refused,
         CASE WHEN CAST(:mode AS text) = 'per_identifier' THEN lapse
              WHEN wide IS NOT NULL
                OR CAST(:mode AS text) = 'latest_explicit' AND state = 'given' THEN NULL
              ELSE min(lapse) OVER g END AS lapsed,
         CASE CAST(:mode AS text)
              WHEN 'most_restrictive' THEN bool_or(state = 'given') OVER g
              ELSE state = 'given' OR wide IS NOT NULL END AS given,
         CAST(:mode AS text) <> 'per_identifier'
           AND count(*) FILTER (WHERE state IN ('withdrawn', 'refused')) OVER p
             > count(*) FILTER (WHERE state IN ('withdrawn', 'refused')) OVER g AS doubted
  FROM word
  WINDOW g AS (PARTITION BY person_id, group_id), p AS (PARTITION BY person_id)
), reasoned AS (
  SELECT identifier_id, group_id, person_id,
         CASE WHEN bar.restricted THEN 'restricted'
              WHEN bar.person_id IS NOT NULL THEN 'objection'
              WHEN :unlinkable THEN 'not_linkable'
              WHEN :unconditional THEN 'lawful_basis:' || :lawful_basis
              WHEN withdrawn THEN 'withdrawn'
              WHEN refused THEN 'refused'
              WHEN doubted THEN 'probable_link'
              WHEN CAST(:lawful_basis AS text) <> 'consent' THEN 'lawful_basis:' || :lawful_basis
              WHEN lapsed IS NOT NULL
                THEN (ARRAY['expired', 'stale_notice', 'unproven', 'not_explicit'])[lapsed]
              WHEN given THEN 'given'
              ELSE 'unknown' END AS reason
  FROM heard LEFT JOIN bar USING (person_id)
)
SELECT identifier_id, group_id, person_id, reason,
       reason = 'given' OR starts_with(reason, 'lawful_basis:') AS allowed
FROM reasoned
