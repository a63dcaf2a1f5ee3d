-- What the installation as a whole agrees on, and when each scheduled job last did its work.
CREATE TABLE fuseboard_settings (
    name       text PRIMARY KEY,
    value      text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fuseboard_settings IS
    'Facts every part must agree on. Changed by `fuseboard rebuild` and by retention, never by hand.';

INSERT INTO fuseboard_settings (name, value) VALUES
    -- daily rows are days of this zone; `fuseboard rebuild --time-zone` changes it
    ('day_time_zone', 'UTC'),
    -- raw requests before this instant have been dropped, so no day before it can be recomputed
    ('raw_retained_from', '2020-01-01T00:00:00+00:00');

CREATE TABLE fuseboard_job_runs (
    job             text PRIMARY KEY,
    last_started_at timestamptz NOT NULL,
    last_success_at timestamptz,
    last_error      text
);
COMMENT ON TABLE fuseboard_job_runs IS
    'One row per scheduled job. A job whose last_success_at is older than its interval was missed and is made up for.';
