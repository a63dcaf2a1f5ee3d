-- The UTC days that have a partition of raw requests, the newest first, between two days. Compared as text: PostgreSQL may
-- look at the names of other tables before it knows that they are no partitions. Reads only.
SELECT to_date(right(partition.relname, 8), 'YYYYMMDD') AS day
FROM pg_inherits
JOIN pg_class AS partition ON partition.oid = pg_inherits.inhrelid
WHERE pg_inherits.inhparent = 'llm_requests'::regclass
    AND partition.relname BETWEEN to_char(%(first_day)s::date, '"llm_requests_"YYYYMMDD')
        AND to_char(%(last_day)s::date, '"llm_requests_"YYYYMMDD')
ORDER BY day DESC;
