-- Notes why a job did not run to its end. Safe to repeat.
UPDATE fuseboard_job_runs
SET last_error = %(error)s
WHERE job = %(job)s;
