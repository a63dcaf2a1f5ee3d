-- A day whose raw requests were dropped is closed: nothing could tell an event that comes again from one that never came.

CREATE FUNCTION raw_retained_from() RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT value::timestamptz FROM fuseboard_settings WHERE name = 'raw_retained_from'), '-infinity')
$$;
COMMENT ON FUNCTION raw_retained_from IS 'Since when raw requests are kept: what occurred before is not stored any more.';

-- As before, but a day that was dropped is not made again.
CREATE OR REPLACE FUNCTION ensure_request_partition(day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    partition_name text := 'llm_requests_' || to_char(day, 'YYYYMMDD');
    day_start timestamptz := day::timestamp AT TIME ZONE 'UTC';
    day_end timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(partition_name) IS NOT NULL OR day_start < raw_retained_from() THEN
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
COMMENT ON FUNCTION ensure_request_partition IS
    'Creates the partition of llm_requests for one UTC day; false if it was there, or was dropped before.';

-- As before, but raw_retained_from moves only while nothing is being stored: a statement that stores has the lock of the
-- table before it reads, so it sees a day with raw_retained_from before it, or neither.
CREATE OR REPLACE FUNCTION drop_request_partition(day date) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
BEGIN
    DELETE FROM llm_usage_hourly WHERE hour_start < (day + 1)::timestamp AT TIME ZONE 'UTC';
    LOCK TABLE ONLY llm_requests IN ACCESS EXCLUSIVE MODE;
    UPDATE fuseboard_settings
    SET value = to_char(day + 1, 'YYYY-MM-DD"T00:00:00+00:00"'), updated_at = now()
    WHERE name = 'raw_retained_from' AND value::timestamptz < (day + 1)::timestamp AT TIME ZONE 'UTC';
    EXECUTE format('DROP TABLE IF EXISTS %I', 'llm_requests_' || to_char(day, 'YYYYMMDD'));
END $$;

COMMENT ON COLUMN llm_rejected_events.reason IS
    'Why it was refused last: not_json, invalid_event, entry_too_large, absurd_time, older_than_retention, conflicting_duplicate, refused_by_database.';
