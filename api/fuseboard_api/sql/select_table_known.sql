-- Whether a table or view is one that people read. Reads only.
SELECT EXISTS (
    SELECT
    FROM pg_class
    WHERE relname = %(name)s
        AND relname ~ '^llm_'
        AND pg_table_is_visible(oid)
        AND relkind IN ('r', 'v', 'p')
        AND NOT relispartition
);
