-- What the next fold has to do, and for how long no fold has been (NULL: there was none). Reads only.
SELECT
    (SELECT coalesce(sum(requests), 0)::bigint FROM llm_usage_deltas) AS unfolded_requests,
    (
        SELECT extract(epoch FROM now() - last_success_at)::double precision FROM fuseboard_job_runs WHERE job = 'fold'
    ) AS since_fold_seconds;
