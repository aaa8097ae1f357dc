-- The people of the most identifiers, those of :without left out.
SELECT person_id, count(*) AS identifiers
FROM identity.identifier
WHERE NOT person_id = ANY(CAST(:without AS bigint[]))
GROUP BY person_id
ORDER BY identifiers DESC, person_id
LIMIT :limit;
