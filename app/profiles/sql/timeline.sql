-- A page of events of some identifiers, newest first; of equal times in the order of their source.
-- Of each identifier no more than the page is looked at, in the order of its index: the ORDER BY
-- inside holds PostgreSQL to that order. Guessing 11 events a person, it sorted all 100,000 of one:
-- 374 ms and 4,442 pages, now .6 ms and 77. timeline.py has it in the other direction.
SELECT e.*, s.name AS source
FROM (
  SELECT e.id, e.message_id, e.type, e.name, e.source_id, e.occurred_at, e.received_at, e.sent_at,
         e.user_id, e.anonymous_id, e.identifier_ids, e.properties, e.context, e.rest, e.place
  FROM unnest(CAST(:identifiers AS bigint[])) i(identifier_id)
  CROSS JOIN LATERAL (
    SELECT * FROM (
      SELECT e.*, coalesce(e.source_seq, 4611686018427387903) AS place
      FROM app.event e
      WHERE e.identifier_id = i.identifier_id
        AND NOT app.barred(e.refused, :purpose)
        AND e.occurred_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
        AND e.occurred_at < coalesce(CAST(:until AS timestamptz), 'infinity')
        AND e.occurred_at <= CAST(:at AS timestamptz)
        AND (e.occurred_at, coalesce(e.source_seq, 4611686018427387903), e.received_at, e.id)
            < (CAST(:at AS timestamptz), CAST(:place AS bigint),
               CAST(:received_at AS timestamptz), CAST(:id AS bigint))
        AND (CAST(:types AS text[]) IS NULL OR e.type = ANY(CAST(:types AS text[])))
        AND (CAST(:names AS text[]) IS NULL OR e.name = ANY(CAST(:names AS text[])))
        AND (CAST(:without AS text[]) IS NULL
             OR coalesce(e.name, '') <> ALL(CAST(:without AS text[])))
        AND (CAST(:sources AS text[]) IS NULL OR e.source_id = ANY(
               ARRAY(SELECT id FROM app.source WHERE name = ANY(CAST(:sources AS text[])))))
      ORDER BY e.occurred_at DESC
    ) e
    ORDER BY e.occurred_at DESC, e.place DESC, e.received_at DESC, e.id DESC
    LIMIT :limit
  ) e
  ORDER BY e.occurred_at DESC, e.place DESC, e.received_at DESC, e.id DESC
  LIMIT :limit
) e
JOIN app.source s ON s.id = e.source_id
ORDER BY e.occurred_at DESC, e.place DESC, e.received_at DESC, e.id DESC;
