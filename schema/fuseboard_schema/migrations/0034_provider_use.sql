-- As before, and whether a provider is in use at all: one that came with the installation and that nobody has called or changed is
-- not; and whether a disabled one is called all the same.
CREATE OR REPLACE VIEW llm_provider_status AS
SELECT
    providers.name,
    providers.display_name,
    providers.provider_type,
    providers.enabled,
    providers.priority,
    providers.registered_by,
    coalesce(health.total_requests, 0) AS total_requests,
    coalesce(health.successful_requests, 0) AS successful_requests,
    coalesce(health.failed_requests, 0) AS failed_requests,
    coalesce(health.failure_count, 0) AS failure_count,
    round(100.0 * health.successful_requests / nullif(health.total_requests, 0), 2)::double precision AS success_rate,
    health.rolling_success_rate::double precision AS rolling_success_rate,
    round(1000 * health.rolling_avg_response_seconds, 1)::double precision AS avg_response_time_ms,
    health.last_success_at,
    health.last_failure_at,
    health.last_error_type,
    now_is.is_throttled,
    now_is.circuit_state,
    providers.enabled AND now_is.circuit_state NOT IN ('open', 'forced_open') AND NOT now_is.is_throttled AS is_available,
    CASE
        WHEN NOT providers.enabled THEN 'disabled'
        WHEN now_is.circuit_state IN ('open', 'forced_open') THEN now_is.circuit_state
        WHEN now_is.is_throttled THEN 'throttled'
        WHEN now_is.circuit_state = 'half_open' THEN 'half_open'
        WHEN health.rolling_success_rate < 90 THEN 'degraded'
        WHEN health.rolling_success_rate IS NOT NULL THEN 'healthy'
        ELSE 'no_data'
    END AS status,
    percentiles.p50_ms AS p50_response_time_ms,
    percentiles.p95_ms AS p95_response_time_ms,
    coalesce(health.total_requests, 0) > 0
        OR providers.registered_by <> 'seed'
        OR NOT providers.enabled
        OR providers.updated_at > providers.created_at
        OR now_is.circuit_state <> 'closed'
        OR now_is.is_throttled
        OR EXISTS (SELECT FROM llm_circuit_transitions AS transitions WHERE transitions.provider = providers.name)
        AS is_in_use,
    -- SQL by hand leaves updated_at as it is
    NOT providers.enabled AND coalesce(
        greatest(health.last_success_at, health.last_failure_at) > greatest(
            now() - interval '10 minutes',
            CASE WHEN providers.updated_at > providers.created_at THEN providers.updated_at END
        ),
        false
    ) AS is_called_though_disabled
FROM llm_providers AS providers
LEFT JOIN llm_provider_health AS health ON health.provider = providers.name
CROSS JOIN LATERAL (
    SELECT
        coalesce(llm_circuit_state(health.state, health.override, health.open_until, now()), 'closed') AS circuit_state,
        coalesce(health.throttle_until > now(), false) AS is_throttled
) AS now_is
CROSS JOIN LATERAL (
    SELECT
        duration_bucket_ms(min(bucket) FILTER (WHERE so_far >= 0.50 * total)) AS p50_ms,
        duration_bucket_ms(min(bucket) FILTER (WHERE so_far >= 0.95 * total)) AS p95_ms
    FROM (
        SELECT bucket, sum(counted) OVER (ORDER BY bucket) AS so_far, sum(counted) OVER () AS total
        FROM (
            SELECT durations.key::integer AS bucket, sum(durations.value::bigint) AS counted
            FROM
                jsonb_each(health.rolling_durations) AS minutes,
                jsonb_each_text(minutes.value) AS durations
            GROUP BY 1
        ) AS buckets
    ) AS counted
) AS percentiles;
COMMENT ON COLUMN llm_provider_status.is_in_use IS
    'It was called, or changed by somebody; false for one that came with the installation and was left alone.';
COMMENT ON COLUMN llm_provider_status.is_called_though_disabled IS
    'It is not enabled, and was called within the last ten minutes and after it was disabled.';
