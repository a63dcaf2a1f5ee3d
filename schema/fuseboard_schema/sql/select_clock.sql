-- The clock of PostgreSQL, not of the transaction. Reads only.
SELECT clock_timestamp();
