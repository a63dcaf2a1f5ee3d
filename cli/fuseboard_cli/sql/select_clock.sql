-- The time on PostgreSQL's host. Reads only.
SELECT clock_timestamp();
