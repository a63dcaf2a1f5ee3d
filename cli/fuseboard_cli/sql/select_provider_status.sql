-- All providers with their health and the state of their circuit, in order of choice. Reads only.
SELECT
    name,
    display_name,
    provider_type,
    enabled,
    priority,
    registered_by,
    total_requests,
    successful_requests,
    failed_requests,
    failure_count,
    success_rate,
    rolling_success_rate,
    avg_response_time_ms,
    last_success_at,
    last_failure_at,
    last_error_type,
    circuit_state AS circuit,
    is_throttled,
    is_called_though_disabled
FROM llm_provider_status
ORDER BY priority, name;
