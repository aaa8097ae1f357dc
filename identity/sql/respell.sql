-- Note as which identifier values are spelled now, and that this one is no old spelling itself.
UPDATE identity.identifier i
SET spelling_of = CASE WHEN i.id = r.old THEN r.now END
FROM unnest(CAST(:old AS bigint[]), CAST(:now AS bigint[])) AS r(old, now)
WHERE i.id = r.old AND i.spelling_of IS DISTINCT FROM r.now
   OR i.id = r.now AND i.spelling_of IS NOT NULL;
