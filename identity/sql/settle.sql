-- Note that somebody is told of these; return who was not before. A column that no index has, so
-- that the row is rewritten in its page and no index is.
UPDATE identity.identifier SET settled = true
WHERE id = ANY(CAST(:ids AS bigint[])) AND NOT settled
RETURNING id;
