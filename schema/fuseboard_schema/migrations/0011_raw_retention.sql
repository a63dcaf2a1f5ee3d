-- Drops the partition of one UTC day and moves raw_retained_from behind it, in one transaction. Safe to repeat.
-- The drop needs an exclusive lock for a moment, and inserts queue behind one that waits: so it waits a second at most,
-- then fails with lock_not_available and the day is dropped at the next run.
CREATE FUNCTION drop_request_partition(day date) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
BEGIN
    UPDATE fuseboard_settings
    SET value = to_char(day + 1, 'YYYY-MM-DD"T00:00:00+00:00"'), updated_at = now()
    WHERE name = 'raw_retained_from' AND value::timestamptz < (day + 1)::timestamp AT TIME ZONE 'UTC';
    EXECUTE format('DROP TABLE IF EXISTS %I', 'llm_requests_' || to_char(day, 'YYYYMMDD'));
END $$;
COMMENT ON FUNCTION drop_request_partition IS 'Drops the raw requests of one UTC day; daily rows keep what they say.';

INSERT INTO fuseboard_settings (name, value) VALUES
    -- no daily row before this day is sure to hold retained requests alone: a change of time zone leaves the dropped
    -- hours of a day that was cut by retention in the row where they were
    ('whole_days_from', '2020-01-01');
