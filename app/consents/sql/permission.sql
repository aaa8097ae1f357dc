-- For each identifier: may what it brought be used for :purpose now, and why. The set form of
-- consent.decide; tests/app/test_permission.py holds the two equal on random histories. A grant
-- flows over asserted links (group), a refusal over probable ones too (person), and so does a demand
-- that use stops (GDPR art. 18, 21). Asked of some people only, said_by_some.sql takes the place of
-- what is between the marks, `asked` is told whom, and opt-outs are looked up one by one: without
-- OFFSET 0, and with statistics that know of none, each decision read the opt-outs of everybody.
--
-- Everybody is sorted once, by numbers, and what an identifier said last, its group and its person
-- are read off that order: three fifths of the CPU of asking the view consent.current, which sorts
-- by text. The time is the statement's, as what it sees is: with clock_timestamp(), which is
-- volatile, PostgreSQL would write each part down before it reads on.
WITH asked AS NOT MATERIALIZED (
  SELECT identifier_id, namespace, value, group_id, person_id FROM identity.current_person
  -- of some people
), said AS (
-- <everybody
  SELECT DISTINCT ON (i.person_id, i.group_id, i.identifier_id)
         i.*, r.state, r.order_time, r.valid_until, r.purpose_version, r.account_wide, r.stamp,
         r.unproven, r.guardian, r.proof,
         coalesce(max(r.proof) FILTER (WHERE r.state <> 'given') OVER i, 0) AS against
  FROM asked i
  LEFT JOIN consent.record r
    ON r.namespace = i.namespace AND r.value = i.value AND r.purpose = :purpose
   AND (r.state <> 'given' OR r.effective_at <= statement_timestamp())
  -- In the order that everybody is sorted by anyhow.
  WINDOW i AS (PARTITION BY i.person_id, i.group_id, i.identifier_id
               ORDER BY r.order_time DESC, (r.state = 'given'), r.recorded_at DESC, r.seq DESC
               ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
  ORDER BY i.person_id, i.group_id, i.identifier_id,
           r.order_time DESC, (r.state = 'given'), r.recorded_at DESC, r.seq DESC
-- everybody>
), bar AS (
  SELECT b.person_id, bool_or(b.what = 'restriction') AS restricted,
         bool_or(b.what = 'objection') AS objected, bool_or(b.what = 'age') AS young
  FROM (
  SELECT i.person_id, CASE d.kind WHEN 'restriction' THEN d.kind ELSE 'objection' END AS what
  FROM consent.restriction d
  JOIN asked i USING (namespace, value)
  -- None is set for a later time: what seems to be was set before the clock was set back.
  WHERE (d.to_at IS NULL OR d.to_at > statement_timestamp())
    AND (d.purpose_key IS NULL OR d.purpose_key = :purpose OR d.kind = 'objection_marketing')
    AND CASE d.kind WHEN 'restriction' THEN :restrictable
                    WHEN 'objection_marketing' THEN :direct_marketing
                    ELSE CASE WHEN d.purpose_key IS NULL THEN :objectable
                              ELSE NOT :unconditional END END
  UNION ALL
  -- What is said by the new spelling of an address or number is not heard yet: nothing goes.
  SELECT i.person_id, 'restriction'
  FROM identity.sweep w
  JOIN asked i ON i.identifier_id > w.position AND i.identifier_id <= w.until
  WHERE :restrictable AND i.namespace IN ('email', 'phone')
    AND w.what = 'spelling:' AND w.finished_at IS NULL
  UNION ALL
  -- Who is under 18, where the purpose is for adults; else who is too young to agree alone.
  SELECT i.person_id, 'age'
  FROM consent.age_band a
  JOIN asked i USING (namespace, value)
  WHERE (a.from_at <= statement_timestamp() OR a.band = 'child')
    AND (a.to_at IS NULL OR a.to_at > statement_timestamp())
    AND (:adults_only OR a.band = 'child' AND CAST(:lawful_basis AS text) = 'consent')
  ) b
  GROUP BY b.person_id
), voice AS (
  SELECT identifier_id, group_id, person_id, order_time, account_wide, guardian,
         bar.restricted, bar.objected, bar.young,
         CASE WHEN state IS NULL THEN 'unknown'
              WHEN state <> 'given' THEN state
              WHEN EXISTS (SELECT FROM consent.opted_out o
                           WHERE o.namespace = said.namespace AND o.value = said.value
                             AND o.purpose = :purpose
                           -- one by one
                           ) THEN 'refused'
              -- A refusal stands until a later grant that is proved as well: of each proof the last
              -- is looked at. Few say yes with less proof than they once said no.
              WHEN proof < against AND EXISTS (
                     SELECT FROM (
                       SELECT n.proof, max(n.order_time) AS order_time
                       FROM consent.record n
                       WHERE n.namespace = said.namespace AND n.value = said.value
                         AND n.purpose = :purpose AND n.state <> 'given' AND n.proof > said.proof
                       GROUP BY n.proof
                     ) n
                     WHERE NOT EXISTS (
                       SELECT FROM consent.record g
                       WHERE g.namespace = said.namespace AND g.value = said.value
                         AND g.purpose = :purpose AND g.state = 'given'
                         AND g.proof >= n.proof AND g.order_time > n.order_time
                         AND g.effective_at <= statement_timestamp())
                     OFFSET 0) THEN 'refused'
              WHEN valid_until <= statement_timestamp() THEN 'expired'
              WHEN purpose_version < :renewed THEN 'stale_notice'
              WHEN unproven THEN 'unproven'
              WHEN :explicit AND stamp THEN 'not_explicit'
              WHEN guardian AND bar.young IS NOT TRUE THEN 'expired'  -- they are no child (any more)
              ELSE 'given' END AS state
  FROM said LEFT JOIN bar USING (person_id)
  ORDER BY person_id, group_id  -- as they come; or else each aggregate would work out the state
), heard AS (
  SELECT voice.*,
         min(array_position(ARRAY['expired', 'stale_notice', 'unproven', 'not_explicit'], state))
           OVER g AS group_lapse,
         max(order_time) FILTER (WHERE state = 'withdrawn') OVER g AS withdrawn_at,
         max(order_time) FILTER (WHERE state = 'refused') OVER g AS refused_at,
         max(order_time) FILTER (WHERE state = 'given' AND account_wide
                                 AND CAST(:mode AS text) = 'latest_explicit') OVER g AS wide,
         bool_or(state = 'given') OVER g AS group_given,
         bool_or(state = 'given' AND guardian) OVER g AS group_guarded,
         bool_or(state = 'given' AND guardian AND account_wide) OVER g AS wide_guarded,
         count(*) FILTER (WHERE state IN ('withdrawn', 'refused')) OVER p
           > count(*) FILTER (WHERE state IN ('withdrawn', 'refused')) OVER g AS doubted
  FROM voice
  WINDOW g AS (PARTITION BY person_id, group_id), p AS (PARTITION BY person_id)
), weighed AS (
  SELECT identifier_id, group_id, person_id, restricted, objected, young,
         -- A refusal counts unless the account said otherwise later, for all of its devices.
         CASE CAST(:mode AS text) WHEN 'per_identifier' THEN state = 'withdrawn'
              ELSE withdrawn_at >= coalesce(wide, '-infinity') END AS withdrawn,
         CASE CAST(:mode AS text) WHEN 'per_identifier' THEN state = 'refused'
              ELSE refused_at >= coalesce(wide, '-infinity') END AS refused,
         CAST(:mode AS text) <> 'per_identifier' AND doubted AS doubted,
         CASE WHEN CAST(:mode AS text) = 'per_identifier'
                THEN array_position(ARRAY['expired', 'stale_notice', 'unproven', 'not_explicit'], state)
              WHEN wide IS NOT NULL
                OR CAST(:mode AS text) = 'latest_explicit' AND state = 'given' THEN NULL
              ELSE group_lapse END AS lapsed,
         CASE CAST(:mode AS text)
              WHEN 'most_restrictive' THEN group_guarded
              WHEN 'latest_explicit' THEN state = 'given' AND guardian OR wide_guarded
              ELSE state = 'given' AND guardian END AS guarded,
         CASE CAST(:mode AS text)
              WHEN 'most_restrictive' THEN group_given
              ELSE state = 'given' OR wide IS NOT NULL END AS given
  FROM heard
), reasoned AS (
  SELECT identifier_id, group_id, person_id,
         CASE WHEN restricted THEN 'restricted'
              WHEN objected THEN 'objection'
              WHEN young AND :adults_only THEN 'underage'
              WHEN :unlinkable THEN 'not_linkable'
              WHEN :unconditional THEN 'lawful_basis:' || :lawful_basis
              WHEN withdrawn THEN 'withdrawn'
              WHEN refused THEN 'refused'
              WHEN doubted THEN 'probable_link'
              WHEN CAST(:lawful_basis AS text) <> 'consent' THEN 'lawful_basis:' || :lawful_basis
              WHEN young AND NOT guarded THEN 'guardian_needed'
              WHEN lapsed IS NOT NULL
                THEN (ARRAY['expired', 'stale_notice', 'unproven', 'not_explicit'])[lapsed]
              WHEN given THEN 'given'
              ELSE 'unknown' END AS reason
  FROM weighed
)
SELECT identifier_id, group_id, person_id, reason,
       reason = 'given' OR starts_with(reason, 'lawful_basis:') AS allowed
FROM reasoned
