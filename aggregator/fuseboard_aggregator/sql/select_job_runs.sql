-- When each job last ran to its end. Reads only.
SELECT job, last_success_at
FROM fuseboard_job_runs;
