-- How many consent records there are, by purpose and state.
SELECT purpose, state, count(*) AS records
FROM consent.record
GROUP BY purpose, state
ORDER BY purpose, state;
