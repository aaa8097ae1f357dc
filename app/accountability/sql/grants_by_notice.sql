-- The grants of a purpose that stand, by what they rest on: this notice, another one, or none.
SELECT count(*) FILTER (WHERE r.notice ->> 'key' = :notice) AS on_this_notice,
       count(*) FILTER (WHERE r.notice ->> 'key' <> :notice) AS on_another_notice,
       count(*) FILTER (WHERE r.notice ->> 'key' IS NULL) AS without_notice
FROM consent.current c
JOIN consent.record r ON r.id = c.record_id
WHERE c.purpose = :purpose AND c.state = 'given';
