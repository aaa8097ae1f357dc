-- What people are computed from, as one JSON text: identifiers (`ids`), or all that share a reach with
-- some (`around`), as columns, with where each belongs and what guards look at; whom they must be
-- apart from; of whom somebody decided something; the links that stand at them; the rules that an
-- operator set. One statement, because of a merge the statements are most of the price.
-- A person is within a reach that is named after its own first member, so the index of reaches holds
-- only those who are not of the person of that name. Who is not settled has never been computed and
-- is alone: an array that a query makes is looked through for each row of a small table, 370 ms for
-- 2,000 new ones beside 13,000. Of 6,000 in one reach, objects for each row took twice as long, and
-- look-ups of decisions for each row three times. `OFFSET 0` keeps links from being joined, which
-- took seconds where statistics lagged.
-- Links come once, held ones included; `day` is the first of a link's last week. Of what was seen with
-- more others than a person can have (`most`, and what an operator set): the oldest, one more than
-- count, and what was not told to be too many. Of logins, some of whose links count all the same
-- (`unique`, and what an operator set), all that are as old as the last of these: ids are by arrival,
-- `key` says which come first. Without `most` no links are read.
WITH reaches AS MATERIALIZED (
  SELECT ARRAY(SELECT DISTINCT t.reach_id FROM identity.identifier t
               WHERE t.id = ANY(CAST(:around AS bigint[])) AND t.settled) AS ids
), chosen AS MATERIALIZED (
  SELECT i.reach_id, i.group_id, i.person_id, i.settled, i.id, i.namespace, i.link_consent,
         r.fields ->> 'first_name' AS first_name, r.fields ->> 'last_name' AS last_name,
         r.fields ->> 'birth_date' AS birth_date,
         i.garbage OR CASE WHEN s.name IS NULL THEN false
              ELSE lower(i.value) = ANY(s.blocked) OR EXISTS (
                SELECT FROM unnest(s.blocked_patterns) p WHERE i.value ~ p) END AS blocked,
         i.closed, i.spelling_of IS NOT NULL AS old,
         hashtextextended(i.namespace || ':' || i.value, 0) AS key,
         i.namespace = ANY(CAST(:unique AS text[])) OR coalesce(s.is_unique, false) AS one
  FROM identity.identifier i
  LEFT JOIN identity.record r ON r.identifier_id = i.id
  LEFT JOIN identity.namespace s ON s.name = i.namespace
  WHERE i.id = ANY(CAST(:ids AS bigint[]))
     OR i.id = ANY(CAST(:around AS bigint[])) AND NOT i.settled
     OR i.person_id = ANY(CAST((SELECT ids FROM reaches) AS bigint[]))
     OR i.reach_id <> i.person_id
        AND i.reach_id = ANY(CAST((SELECT ids FROM reaches) AS bigint[]))
), links AS (
  SELECT DISTINCT ON (l.id) l.*
  FROM (SELECT l.*, rank() OVER (PARTITION BY n.id, l.kind = 'event'
                                 ORDER BY l.first_at, CASE WHEN NOT n.one THEN l.id END) AS place
        FROM (SELECT c.id, c.one FROM chosen c WHERE CAST(:most AS bigint) IS NOT NULL) n
        CROSS JOIN LATERAL (
          SELECT a.held, a.id, a.left_id, a.right_id, a.kind, a.first_at, a.probability,
                 a.last_week, a.rule, a.also, a.evidence_id
          FROM identity.link a WHERE a.left_id = n.id AND a.revoked_at IS NULL
          UNION ALL
          SELECT a.held, a.id, a.left_id, a.right_id, a.kind, a.first_at, a.probability,
                 a.last_week, a.rule, a.also, a.evidence_id
          FROM identity.link a WHERE a.right_id = n.id AND a.revoked_at IS NULL
          OFFSET 0) l) l
  WHERE l.kind <> 'event' OR l.held IS DISTINCT FROM 'frequency'
     OR l.place <= (SELECT greatest(CAST(:most AS bigint), max(s.most_links)) + 1
                    FROM identity.namespace s)
  ORDER BY l.id
)
SELECT CAST(json_build_array(
  (SELECT json_build_array(
     json_agg(reach_id), json_agg(group_id), json_agg(person_id), json_agg(settled), json_agg(id),
     json_agg(namespace), json_agg(link_consent), json_agg(first_name), json_agg(last_name),
     json_agg(birth_date), json_agg(blocked), json_agg(closed), json_agg(old), json_agg(key))
   FROM chosen),
  (SELECT coalesce(json_agg(json_build_array(c.left_id, c.right_id)), '[]')
   FROM chosen n JOIN identity.cannot_link c ON c.left_id = n.id),
  (SELECT coalesce(json_agg(d.id), '[]') FROM (
     SELECT n.id FROM chosen n JOIN identity.link l ON l.left_id = n.id AND l.kind = 'manual'
     UNION
     SELECT n.id FROM chosen n JOIN identity.link l ON l.right_id = n.id AND l.kind = 'manual') d),
  (SELECT json_build_array(
     json_agg(held), json_agg(id), json_agg(left_id), json_agg(right_id), json_agg(kind),
     json_agg(CAST(extract(epoch FROM first_at) AS float8)), json_agg(coalesce(probability, 1)),
     json_agg(last_week * 7),
     json_agg(CASE kind
       WHEN 'match' THEN rule = ANY(ARRAY(SELECT s.rule FROM identity.suspension s
                                          WHERE s.rule IS NOT NULL))
            OR EXISTS (SELECT FROM identity.suspension s WHERE s.run_id = l.evidence_id)
       ELSE (rule || also) <@ ARRAY(SELECT s.rule FROM identity.suspension s
                                    WHERE s.rule IS NOT NULL)
     END),
     json_agg(rule = 'spelling' OR 'spelling' = ANY(also)))
   FROM links l),
  (SELECT coalesce(json_agg(json_build_array(
            s.name, s.priority, s.max_values, s.is_unique, s.most_links, s.owner_days,
            s.last_owner)), '[]')
   FROM identity.namespace s)
) AS text) AS read;
