-- The identifiers of a namespace that identify nobody, and those that rules would block: by value, in
-- any case, or by pattern. Without either the namespace is not looked through.
SELECT id FROM identity.identifier WHERE namespace = :namespace AND garbage
UNION
SELECT id FROM identity.identifier
WHERE namespace = :namespace
  AND cardinality(CAST(:blocked AS text[])) + cardinality(CAST(:patterns AS text[])) > 0
  AND (lower(value) = ANY(CAST(:blocked AS text[]))
       OR EXISTS (SELECT FROM unnest(CAST(:patterns AS text[])) p WHERE value ~ p));
