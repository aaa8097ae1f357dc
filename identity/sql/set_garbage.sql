-- Note which values identify nobody by the rules of now; return those of which that is news.
UPDATE identity.identifier i
SET garbage = r.garbage
FROM unnest(CAST(:ids AS bigint[]), CAST(:garbage AS boolean[])) AS r(id, garbage)
WHERE i.id = r.id AND i.garbage <> r.garbage
RETURNING i.id;
