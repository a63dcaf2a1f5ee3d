-- Writes one provider's health and circuit as folded from the locked row; repeated only with the transaction that folded
-- it. What operators order (override, throttle_reset_revision) is not the fold's to write.
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
    rolling_durations = %(rolling_durations)s,
    rolling_success_rate = %(rolling_success_rate)s,
    rolling_avg_response_seconds = %(rolling_avg_response_seconds)s,
    state = %(state)s,
    epoch = %(epoch)s,
    epoch_started_at = to_timestamp(%(epoch_started_at)s::double precision),
    version = %(version)s,
    open_until = to_timestamp(%(open_until)s::double precision),
    open_streak = %(open_streak)s,
    throttle_until = to_timestamp(%(throttle_until)s::double precision),
    throttle_streak = %(throttle_streak)s,
    circuit_window = %(circuit_window)s,
    revision = revision + 1,
    updated_at = now()
WHERE provider = %(provider)s;
