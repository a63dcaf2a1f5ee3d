-- Notes that a job starts. Safe to repeat.
INSERT INTO fuseboard_job_runs (job, last_started_at)
VALUES (%(job)s, now())
ON CONFLICT (job) DO UPDATE SET last_started_at = excluded.last_started_at;
