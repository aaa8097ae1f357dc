-- How many records wait for being matched, up to a limit.
SELECT count(*)
FROM (SELECT FROM identity.matchable WHERE keys IS NULL LIMIT :limit) waiting;
