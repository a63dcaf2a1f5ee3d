-- The UTC days that have a partition of llm_requests, in order. Reads only.
SELECT to_date(right(partition.relname, 8), 'YYYYMMDD') AS day
FROM pg_inherits
JOIN pg_class AS partition ON partition.oid = inhrelid
WHERE inhparent = 'llm_requests'::regclass AND partition.relname ~ '^llm_requests_\d{8}$'
ORDER BY day;
