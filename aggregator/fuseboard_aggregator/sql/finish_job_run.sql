-- Notes that a job ran to its end, and the problem that it found, if any. Safe to repeat.
UPDATE fuseboard_job_runs
SET last_success_at = now(), last_error = %(problem)s
WHERE job = %(job)s;
