-- When each scheduled job last ran to its end, in seconds since 1970 (0: never), and whether its last run failed or
-- found a problem. Reads only.
SELECT
    job,
    coalesce(extract(epoch FROM last_success_at), 0)::double precision AS last_success_seconds,
    last_error IS NOT NULL AS is_failed
FROM fuseboard_job_runs
ORDER BY job;
