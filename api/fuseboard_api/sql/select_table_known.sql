-- Whether a table or view is one that people read. Reads only.
SELECT EXISTS (
    SELECT
    FROM pg_class
    WHERE relname = %(name)s
        AND relname ~ '^llm_'
        AND relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'v', 'p')
        AND NOT relispartition
);
