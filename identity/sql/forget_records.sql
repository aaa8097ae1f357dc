-- Forget what the events of these identifiers said about people; who came to say it later counts anew.
UPDATE identity.record
SET fields = '{}', said_at = '{}', changed_at = clock_timestamp(), keys = NULL
WHERE identifier_id = ANY(CAST(:ids AS bigint[])) AND fields <> '{}'
RETURNING identifier_id;
