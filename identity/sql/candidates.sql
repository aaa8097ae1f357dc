-- The records that matching may see: the view leaves out groups where profile.link was not given,
-- who refused it, and people of whom an identifier is restricted. Whoever is not in this result is in no pair, no score and no review.
SELECT identifier_id, CAST(fields AS text) AS fields, CAST(changed_at AS text) AS changed_at,
       keys IS NULL AS is_new
FROM identity.matchable ORDER BY identifier_id;
