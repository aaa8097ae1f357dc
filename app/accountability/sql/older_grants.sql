-- How many grants that stand are older than a time.
SELECT count(*) FROM consent.current
WHERE purpose = :purpose AND state = 'given' AND order_time < :before;
