-- Makes the partition of one UTC day if it is missing, beside running inserts: ATTACH does not block them.
-- Safe to repeat and to run twice at once: the advisory lock lets one caller make it, the others find it.
CREATE FUNCTION ensure_request_partition(day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    partition_name text := 'llm_requests_' || to_char(day, 'YYYYMMDD');
    day_start timestamptz := day::timestamp AT TIME ZONE 'UTC';
    day_end timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('fuseboard.request_partition'));
    -- read from the table itself: to_regclass remembers what it did not find before the wait
    IF EXISTS (
        SELECT
        FROM pg_class AS partition
        JOIN pg_class AS parent USING (relnamespace)
        WHERE parent.oid = 'llm_requests'::regclass AND partition.relname = partition_name
    ) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE llm_requests INCLUDING ALL)', partition_name);
    -- an event_id with another time on the same day is a conflicting duplicate, not a second request
    EXECUTE format('CREATE UNIQUE INDEX %I ON %I (event_id)', partition_name || '_event_id', partition_name);
    EXECUTE format('ALTER TABLE llm_requests ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   partition_name, day_start, day_end);
    RETURN true;
END $$;
COMMENT ON FUNCTION ensure_request_partition IS 'Creates the partition of llm_requests for one UTC day; false if it was there.';
