-- All spellings of identifiers that are old spellings, or have some: by the one of now.
SELECT coalesce(o.spelling_of, o.id) AS now, o.id, o.namespace, o.value
FROM (SELECT DISTINCT coalesce(i.spelling_of, i.id) AS id
      FROM identity.identifier i
      WHERE i.id = ANY(CAST(:ids AS bigint[])) AND i.namespace IN ('email', 'phone')) h
JOIN LATERAL (
  SELECT * FROM identity.identifier m WHERE m.id = h.id
  UNION ALL
  SELECT * FROM identity.identifier m WHERE m.spelling_of = h.id) o ON true
ORDER BY o.id;
