-- When each scheduled job last ran, and how. Reads only.
SELECT job, last_started_at, last_success_at, last_error
FROM fuseboard_job_runs
ORDER BY job;
