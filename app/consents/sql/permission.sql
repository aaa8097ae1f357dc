-- For each identifier: may what it brought be used for :purpose now, and why. The set form of consent.decide; tests/app/test_permission.py holds the
-- two equal on random histories. A grant flows over asserted links (group), a refusal over
-- probable ones too (person), and so does a demand that use stops (GDPR art. 18, 21). Asked of some
-- people only, said_by_some.sql takes the place of what is between the marks.
WITH said AS (
-- <everybody
  SELECT i.identifier_id, i.namespace, i.group_id, i.person_id, s.state, s.order_time,
         s.purpose_version, s.account_wide, s.stamp, s.unproven, s.guardian
  FROM identity.current_person i
  LEFT JOIN consent.current s
    ON s.namespace = i.namespace AND s.value = i.value AND s.purpose = :purpose
-- everybody>
), voice AS (
  SELECT identifier_id, group_id, person_id, order_time, account_wide, guardian,
         CASE WHEN state IS NULL THEN 'unknown'
              WHEN state <> 'given' THEN state
              WHEN purpose_version < :renewed THEN 'stale_notice'
              WHEN unproven THEN 'unproven'
              WHEN :explicit AND stamp THEN 'not_explicit'
              ELSE 'given' END AS state
  FROM said
), bar AS (
  SELECT b.person_id, bool_or(b.what = 'restriction') AS restricted,
         bool_or(b.what = 'objection') AS objected, bool_or(b.what = 'age') AS young
  FROM (
  SELECT i.person_id, CASE d.kind WHEN 'restriction' THEN d.kind ELSE 'objection' END AS what
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
  SELECT s.person_id, 'restriction'
  FROM said s
  WHERE :restrictable AND s.namespace IN ('email', 'phone')
    AND EXISTS (SELECT FROM identity.sweep w
                WHERE w.what = 'spelling:' AND w.finished_at IS NULL
                  AND s.identifier_id > w.position AND s.identifier_id <= w.until)
  UNION ALL
  -- Who is under 18, where the purpose is for adults; else who is too young to agree alone.
  SELECT i.person_id, 'age'
  FROM consent.age_band a
  JOIN identity.current_person i USING (namespace, value)
  WHERE a.from_at <= clock_timestamp() AND (a.to_at IS NULL OR a.to_at > clock_timestamp())
    AND (:adults_only OR a.band = 'child' AND CAST(:lawful_basis AS text) = 'consent')
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
              WHEN 'most_restrictive' THEN bool_or(state = 'given' AND guardian) OVER g
              WHEN 'latest_explicit' THEN state = 'given' AND guardian
                OR bool_or(state = 'given' AND guardian AND account_wide) OVER g
              ELSE state = 'given' AND guardian END AS guarded,
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
              WHEN bar.objected THEN 'objection'
              WHEN bar.young AND :adults_only THEN 'underage'
              WHEN :unlinkable THEN 'not_linkable'
              WHEN :unconditional THEN 'lawful_basis:' || :lawful_basis
              WHEN withdrawn THEN 'withdrawn'
              WHEN refused THEN 'refused'
              WHEN doubted THEN 'probable_link'
              WHEN CAST(:lawful_basis AS text) <> 'consent' THEN 'lawful_basis:' || :lawful_basis
              WHEN bar.young AND NOT coalesce(guarded, false) THEN 'guardian_needed'
              WHEN lapsed IS NOT NULL
                THEN (ARRAY['expired', 'stale_notice', 'unproven', 'not_explicit'])[lapsed]
              WHEN given THEN 'given'
              ELSE 'unknown' END AS reason
  FROM heard LEFT JOIN bar USING (person_id)
)
SELECT identifier_id, group_id, person_id, reason,
       reason = 'given' OR starts_with(reason, 'lawful_basis:') AS allowed
FROM reasoned
