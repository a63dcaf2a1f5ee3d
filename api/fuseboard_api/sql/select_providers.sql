-- All providers with their health and their circuit, in order of choice. Reads only.
SELECT
    name AS id, name, display_name, provider_type, enabled, priority, is_available, circuit_state, is_throttled, status,
    total_requests, successful_requests, failed_requests, failure_count, success_rate, rolling_success_rate,
    avg_response_time_ms, p50_response_time_ms, p95_response_time_ms, last_success_at, last_failure_at, last_error_type,
    registered_by, is_in_use, is_called_though_disabled
FROM llm_provider_status
ORDER BY priority, name;
