-- Locks the health rows of a batch in order of name, so that two consumers never wait for each other in a circle, and
-- reads each with its provider's settings and with the clock. Changes nothing, so it is safe to repeat.
-- The clock is read outside of the locked part, once a row has come out of it: after waiting for its lock, not before.
WITH locked AS MATERIALIZED (
    SELECT
        health.provider,
        health.total_requests,
        health.successful_requests,
        health.failed_requests,
        health.failure_count,
        health.last_success_at,
        health.last_failure_at,
        health.last_error_type,
        health.rolling_minutes,
        health.rolling_durations,
        health.rolling_success_rate,
        health.rolling_avg_response_seconds,
        health.state,
        health.epoch,
        extract(epoch FROM health.epoch_started_at)::double precision AS epoch_started_at,
        health.version,
        extract(epoch FROM health.open_until)::double precision AS open_until,
        health.open_streak,
        extract(epoch FROM health.throttle_until)::double precision AS throttle_until,
        health.throttle_streak,
        health.override,
        health.override_by,
        health.override_reason,
        extract(epoch FROM health.override_until)::double precision AS override_until,
        health.circuit_window,
        health.revision,
        coalesce(providers.circuit_settings, '{}')::text AS circuit_settings
    FROM llm_provider_health AS health
    LEFT JOIN llm_providers AS providers ON providers.name = health.provider
    WHERE health.provider = ANY(%(providers)s)
    ORDER BY health.provider
    FOR UPDATE OF health
)
SELECT locked.*, extract(epoch FROM clock_timestamp())::double precision AS clock
FROM locked;
