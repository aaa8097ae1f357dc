-- The identifiers of a namespace that rules would block: by value, in any case, or by pattern.
SELECT id FROM identity.identifier
WHERE namespace = :namespace
  AND (lower(value) = ANY(CAST(:blocked AS text[]))
       OR EXISTS (SELECT FROM unnest(CAST(:patterns AS text[])) p WHERE value ~ p));
