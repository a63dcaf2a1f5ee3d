-- The UTC days that have a partition of raw requests, the newest first, between two days. Reads only.
SELECT to_date(right(partition.relname, 8), 'YYYYMMDD') AS day
FROM pg_inherits
JOIN pg_class AS partition ON partition.oid = pg_inherits.inhrelid
WHERE pg_inherits.inhparent = 'llm_requests'::regclass
    AND to_date(right(partition.relname, 8), 'YYYYMMDD') BETWEEN %(first_day)s::date AND %(last_day)s::date
ORDER BY day DESC;
