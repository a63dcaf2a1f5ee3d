-- Locks the health rows of a batch in order of name, so that two consumers never wait for each other in a circle.
SELECT
    provider,
    total_requests,
    successful_requests,
    failed_requests,
    failure_count,
    last_success_at,
    last_failure_at,
    last_error_type,
    rolling_minutes,
    rolling_success_rate,
    rolling_avg_response_seconds
FROM llm_provider_health
WHERE provider = ANY(%(providers)s)
ORDER BY provider
FOR UPDATE;
