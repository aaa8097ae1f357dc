-- Keep links that say something new. Of events all rules that showed a link are kept, so that it
-- stands until the last of them is taken back; a match is what it was scored last, and that of the run
-- that linked it: of a later one only if it was likely no more in between, or was taken back (`news`).
INSERT INTO identity.link AS l (kind, left_id, right_id, rule, also, evidence_id,
                                scored_run_id, first_at, last_week, weight, probability, evidence)
SELECT r.kind, r.left_id, r.right_id, r.rule, array_remove(r.rules, r.rule), r.evidence_id,
       CASE WHEN r.kind = 'match' THEN r.evidence_id END, r.first_at,
       CAST(floor(extract(epoch FROM r.last_at) / 604800) AS bigint), r.weight, r.probability,
       r.evidence
FROM json_to_recordset(CAST(:rows AS json)) AS r(
       kind text, left_id bigint, right_id bigint, rule text, rules text[], evidence_id bigint,
       first_at timestamptz, last_at timestamptz, weight float8, probability float8,
       evidence jsonb)
ORDER BY r.left_id, r.right_id, r.kind
ON CONFLICT (left_id, right_id, kind) DO UPDATE
   SET (weight, probability, evidence, evidence_id, rule) = (
         SELECT excluded.weight, excluded.probability, excluded.evidence,
                CASE WHEN l.kind = 'match' AND l.probability > 0
                      AND NOT EXISTS (SELECT FROM identity.suspension s
                                      WHERE s.run_id = l.evidence_id)
                     THEN l.evidence_id ELSE excluded.evidence_id END,
                excluded.rule WHERE l.kind = 'match' OR excluded.first_at < l.first_at
         UNION ALL
         SELECT l.weight, l.probability, l.evidence, l.evidence_id, l.rule
         WHERE NOT (l.kind = 'match' OR excluded.first_at < l.first_at)),
       also = CASE WHEN l.kind = 'match' THEN excluded.also
                   ELSE ARRAY(SELECT DISTINCT every
                              FROM unnest(l.rule || l.also || excluded.rule || excluded.also) every
                              WHERE every <> CASE WHEN excluded.first_at < l.first_at
                                                  THEN excluded.rule ELSE l.rule END
                              ORDER BY every) END,
       scored_run_id = excluded.scored_run_id,
       first_at = least(l.first_at, excluded.first_at),
       last_week = greatest(l.last_week, excluded.last_week)
 WHERE l.revoked_at IS NULL
   AND (l.kind = 'match' AND l.probability IS DISTINCT FROM excluded.probability
     OR l.kind = 'event' AND (excluded.first_at < l.first_at OR excluded.last_week > l.last_week)
     OR NOT (excluded.rule || excluded.also) <@ (l.rule || l.also));
