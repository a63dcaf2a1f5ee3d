-- What an analyst may read: the tables and views that people query, and the settings that say how days are formed. Partitions
-- are read through their table. Reads only.
SELECT relname
FROM pg_class
WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'llm_requests'::regclass)
    AND relkind IN ('r', 'v', 'p')
    AND NOT relispartition
    AND (starts_with(relname, 'llm_') OR relname = 'fuseboard_settings')
ORDER BY relname;
