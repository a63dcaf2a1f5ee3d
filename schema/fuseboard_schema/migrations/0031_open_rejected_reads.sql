-- What waits for somebody is the open ones among the refused events.
CREATE OR REPLACE VIEW llm_pipeline_status AS
SELECT
    (SELECT coalesce(sum(requests), 0)::bigint FROM llm_usage_deltas) AS unfolded_requests,
    (SELECT last_success_at FROM fuseboard_job_runs WHERE job = 'fold') AS last_fold_at,
    (SELECT count(*) FROM llm_rejected_events WHERE is_open) AS rejected_events,
    (SELECT coalesce(sum(unpriced_requests), 0)::bigint FROM llm_unpriced_models) AS unpriced_requests,
    (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone') AS day_time_zone,
    (SELECT value::timestamptz FROM fuseboard_settings WHERE name = 'raw_retained_from') AS raw_retained_from;

CREATE OR REPLACE FUNCTION llm_overall_health() RETURNS TABLE (
    status               text,
    providers            bigint,
    available_providers  bigint,
    open_circuits        bigint,
    requests             bigint,
    successes            bigint,
    success_rate         double precision,
    cost_today_usd       numeric,
    savings_today_usd    numeric,
    unfolded_requests    bigint,
    rejected_events      bigint,
    unpriced_requests    bigint,
    last_request_at      timestamptz
)
LANGUAGE sql STABLE AS $$
    WITH registered AS (
        SELECT
            count(*) FILTER (WHERE enabled) AS providers,
            count(*) FILTER (WHERE is_available) AS available,
            count(*) FILTER (WHERE enabled AND circuit_state IN ('open', 'forced_open')) AS open_circuits,
            coalesce(bool_or(enabled AND status NOT IN ('healthy', 'no_data')), false) AS is_troubled,
            coalesce(sum(total_requests), 0) AS total_requests,
            max(greatest(last_success_at, last_failure_at)) AS last_request_at
        FROM llm_provider_status
    ), recent AS (
        SELECT
            coalesce(sum((minutes.value ->> 0)::bigint), 0)::bigint AS requests,
            coalesce(sum((minutes.value ->> 1)::bigint), 0)::bigint AS successes
        FROM llm_provider_health AS health, jsonb_each(health.rolling_minutes) AS minutes
        WHERE minutes.key::bigint > extract(epoch FROM now()) - 600
    ), today AS (
        SELECT coalesce(sum(cost_usd), 0) AS cost_usd, coalesce(sum(savings_usd), 0) AS savings_usd
        FROM llm_usage_since(llm_first_day(1))
        WHERE day = llm_first_day(1)
    ), unpriced AS (
        SELECT coalesce(sum(requests), 0)::bigint AS requests
        FROM (
            SELECT unpriced_requests AS requests FROM llm_costs_daily WHERE unpriced_requests <> 0
            UNION ALL
            SELECT unpriced_requests FROM llm_usage_deltas WHERE unpriced_requests <> 0
        ) AS daily_and_pending
    )
    SELECT
        CASE
            WHEN registered.total_requests = 0 THEN 'no_data'
            WHEN registered.available = 0 THEN 'down'
            WHEN registered.is_troubled OR 100 * recent.successes < 90 * recent.requests THEN 'degraded'
            ELSE 'ok'
        END,
        registered.providers,
        registered.available,
        registered.open_circuits,
        recent.requests,
        recent.successes,
        round(100.0 * recent.successes / nullif(recent.requests, 0), 2)::double precision,
        today.cost_usd,
        today.savings_usd,
        (SELECT coalesce(sum(deltas.requests), 0)::bigint FROM llm_usage_deltas AS deltas),
        (SELECT count(*) FROM llm_rejected_events WHERE is_open),
        unpriced.requests,
        registered.last_request_at
    FROM registered, recent, today, unpriced
$$;

COMMENT ON COLUMN llm_pipeline_status.rejected_events IS 'Refused events that are open: neither replayed nor dismissed.';
