-- Drops the partition of a UTC day and moves raw_retained_from behind it, both or neither. Safe to repeat.
-- In the schema of its table, wherever the search_path of this session leads first.
SELECT drop_request_partition(%(day)s)
FROM pg_class
JOIN pg_namespace AS home ON home.oid = relnamespace
CROSS JOIN LATERAL set_config('search_path', format('%%I, %%s', home.nspname, current_setting('search_path')), true)
WHERE pg_class.oid = 'llm_requests'::regclass;
