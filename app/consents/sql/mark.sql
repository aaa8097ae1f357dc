-- What tells whether anything that permission.sql reads has changed: of each table how many rows
-- there are, and a sum over those that transactions from :since on have written; a deletion changes
-- the first, whatever is written the second. Records are deleted by erasures alone, which are noted.
-- Another PostgreSQL that took over counts transactions anew, so one that started later is another.
-- By time alone it may change at `until`: something lapses or begins. A null :since begins anew.
WITH begun AS MATERIALIZED (
  SELECT coalesce(CAST(CAST(:since AS text) AS xid8), pg_snapshot_xmin(pg_current_snapshot())) AS xid
), young AS MATERIALIZED (
  SELECT xid, age(CAST(xid AS xid)) AS age FROM begun
)
SELECT CAST(young.xid AS text) AS since, statement_timestamp() AS now, jsonb_build_array(
  (SELECT jsonb_build_array(count(*), sum(hashtextextended(concat(t.ctid, t.xmin), 0))
                                        FILTER (WHERE age(t.xmin) <= young.age))
   FROM identity.identifier t),
  (SELECT sum(hashtextextended(concat(r.ctid, r.transaction), 0))
   FROM consent.record r WHERE r.transaction >= young.xid),
  (SELECT count(*) FROM consent.erasure),
  (SELECT jsonb_build_array(count(*), sum(hashtextextended(concat(t.ctid, t.xmin), 0))
                                        FILTER (WHERE age(t.xmin) <= young.age))
   FROM consent.restriction t),
  (SELECT jsonb_build_array(count(*), sum(hashtextextended(concat(t.ctid, t.xmin), 0))
                                        FILTER (WHERE age(t.xmin) <= young.age))
   FROM consent.age_band t),
  (SELECT sum(hashtextextended(concat(t.ctid, t.xmin), 0)) FROM identity.sweep t),
  pg_postmaster_start_time()
) AS mark, least(
  (SELECT min(r.valid_until) FROM consent.record r
   WHERE r.state = 'given' AND r.valid_until > statement_timestamp()),
  (SELECT min(r.effective_at) FROM consent.record r
   WHERE r.state = 'given' AND r.effective_at > r.recorded_at
     AND r.effective_at > statement_timestamp()),
  (SELECT min(at) FROM consent.restriction t CROSS JOIN LATERAL (VALUES (t.from_at), (t.to_at)) v(at)
   WHERE at > statement_timestamp()),
  (SELECT min(at) FROM consent.age_band t CROSS JOIN LATERAL (VALUES (t.from_at), (t.to_at)) v(at)
   WHERE at > statement_timestamp())
) AS until
FROM young
