-- The identifiers that are one person's, from those that were shown to be theirs. A link stands for
-- who made it: what an event of a server's source shows (its key is a secret), or we wrote for a new
-- address that was shown, is proved; what came by a key that stands in pages is the word of whoever
-- read it there (decision 0074). Reach 2: shown, or joined with such by what is proved. 1: a device,
-- to which an unproved link leads as well, for nobody but who holds a device knows how it is called;
-- no name is taken from it. 0: an address of which such a link says that it is that of somebody whose
-- login or other name was shown; nothing is taken from it. It is `doubtful` where anything of its own
-- speaks of it (somebody else's link, an event of its own, a trait, what matching knows, a send without the
-- others, an address that it took the place of), or no event is left that shows how it came to be
-- theirs: events go by retention, and the rest outlives them.
-- Not across links that a guard or consent holds, nor what somebody or matching thought likely.
WITH RECURSIVE server AS MATERIALIZED (
  SELECT s.id FROM app.source s WHERE s.server_side
), near(id, reach) AS (
  SELECT i.id, 2
  FROM json_to_recordset(CAST(:rows AS json)) AS r(namespace text, value text)
  JOIN identity.identifier i ON i.namespace = r.namespace AND i.value = r.value
  UNION
  SELECT t.id, n.reach
  FROM near o
  JOIN identity.identifier f ON f.id = o.id
  CROSS JOIN LATERAL (
    SELECT a.right_id AS other, a.left_id, a.right_id, a.rule || a.also AS rules
    FROM identity.link a
    WHERE a.left_id = o.id AND a.kind = 'event' AND a.held IS NULL AND a.revoked_at IS NULL
    UNION ALL
    SELECT a.left_id, a.left_id, a.right_id, a.rule || a.also
    FROM identity.link a
    WHERE a.right_id = o.id AND a.kind = 'event' AND a.held IS NULL AND a.revoked_at IS NULL) l
  JOIN identity.identifier t ON t.id = l.other
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN 'spelling' = ANY(l.rules) THEN o.reach
      WHEN o.reach = 2 AND ('rectification_shown' = ANY(l.rules) OR EXISTS (
             SELECT FROM app.event e
             WHERE e.identifier_id IN (l.left_id, l.right_id)
               AND e.identifier_ids @> ARRAY[l.left_id, l.right_id]
               AND e.source_id = ANY(ARRAY(SELECT s.id FROM server s)))) THEN 2
      WHEN o.reach > 0 AND t.namespace = ANY(CAST(:devices AS text[])) THEN 1
      WHEN o.reach = 2 AND t.namespace = ANY(CAST(:addresses AS text[]))
           AND f.namespace <> ALL(CAST(:devices AS text[]) || CAST(:addresses AS text[])) THEN 0
    END AS reach) n
  WHERE n.reach IS NOT NULL
), theirs AS MATERIALIZED (
  SELECT n.id, max(n.reach) AS reach FROM near n GROUP BY n.id
)
SELECT i.id, i.namespace, i.value, i.person_id, i.profile_id, t.reach > 0 AS proved,
       t.reach = 0 AND (
         EXISTS (
           SELECT FROM identity.link l
           CROSS JOIN LATERAL (VALUES (l.left_id), (l.right_id)) AS ends(id)
           WHERE t.id IN (l.left_id, l.right_id) AND l.kind = 'event' AND l.revoked_at IS NULL
             AND ends.id <> ALL(ARRAY(SELECT o.id FROM theirs o)))
         OR EXISTS (
           SELECT FROM app.event e
           WHERE e.identifier_id = t.id
             AND (cardinality(e.identifier_ids) = 1
                  OR NOT e.identifier_ids <@ ARRAY(SELECT o.id FROM theirs o)))
         OR EXISTS (SELECT FROM app.trait h WHERE h.identifier_id = t.id)
         OR EXISTS (SELECT FROM app.account_trait h WHERE h.identifier_id = t.id)
         OR EXISTS (SELECT FROM app.account_member h WHERE h.identifier_id = t.id)
         OR EXISTS (SELECT FROM identity.record h WHERE h.identifier_id = t.id AND h.fields <> '{}')
         OR EXISTS (
           SELECT FROM app.disclosure h
           WHERE h.identifier_ids @> ARRAY[t.id]
             AND NOT h.identifier_ids && ARRAY(SELECT o.id FROM theirs o WHERE o.reach > 0))
         OR EXISTS (
           SELECT FROM app.former_identifier f
           WHERE f.identifier_id = t.id AND NOT EXISTS (
             SELECT FROM app.former_identifier g
             JOIN theirs o ON o.id = g.identifier_id AND o.reach > 0
             WHERE g.former_id = f.former_id))
         OR NOT EXISTS (
           SELECT FROM app.event e
           WHERE e.identifier_id = ANY(ARRAY(SELECT o.id FROM theirs o))
             AND e.identifier_ids @> ARRAY[t.id] AND cardinality(e.identifier_ids) > 1)
           AND NOT EXISTS (
             SELECT FROM identity.link l
             WHERE t.id IN (l.left_id, l.right_id) AND l.rule = 'rectification')) AS doubtful
FROM theirs t JOIN identity.identifier i USING (id)
ORDER BY i.id;
