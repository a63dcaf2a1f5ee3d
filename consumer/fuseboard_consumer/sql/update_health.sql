-- Writes one provider's health as folded from the locked row; repeated only with the transaction that folded it.
UPDATE llm_provider_health
SET
    total_requests = %(total_requests)s,
    successful_requests = %(successful_requests)s,
    failed_requests = %(failed_requests)s,
    failure_count = %(failure_count)s,
    last_success_at = %(last_success_at)s,
    last_failure_at = %(last_failure_at)s,
    last_error_type = %(last_error_type)s,
    rolling_minutes = %(rolling_minutes)s,
    rolling_success_rate = %(rolling_success_rate)s,
    rolling_avg_response_seconds = %(rolling_avg_response_seconds)s,
    revision = revision + 1,
    updated_at = now()
WHERE provider = %(provider)s;
