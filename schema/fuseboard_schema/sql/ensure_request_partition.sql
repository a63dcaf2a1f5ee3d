-- Makes the partition of a UTC day if it is missing; false if it was there. Safe to repeat and to run twice at once.
-- In the schema of its table, wherever the search_path of this session would have new tables.
SELECT ensure_request_partition(%(day)s)
FROM pg_class
JOIN pg_namespace AS home ON home.oid = relnamespace
CROSS JOIN LATERAL set_config('search_path', format('%%I, %%s', home.nspname, current_setting('search_path')), true)
WHERE pg_class.oid = 'llm_requests'::regclass;
