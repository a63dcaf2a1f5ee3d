-- Since when a model lacks a price: one that is set from then on is of all its requests.
CREATE OR REPLACE VIEW llm_unpriced_models AS
SELECT
    provider,
    model,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    max(day) AS last_day,
    min(day)::timestamp AT TIME ZONE (
        SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone'
    ) AS unpriced_since
FROM llm_costs_current
WHERE unpriced_requests > 0
GROUP BY provider, model;
COMMENT ON COLUMN llm_unpriced_models.unpriced_since IS
    'Where the first day with one begins: a price from then on is of all of them.';

-- As before; the percentage is of what is compared alone.
CREATE OR REPLACE FUNCTION llm_cost_summary(last_days integer DEFAULT NULL) RETURNS TABLE (
    total_cost_usd               numeric,
    total_requests               bigint,
    local_requests               bigint,
    remote_requests              bigint,
    estimated_savings_usd        numeric,
    hypothetical_claude_cost_usd numeric,
    savings_percentage           double precision,
    unpriced_requests            bigint,
    unmetered_requests           bigint,
    baseline_unknown_requests    bigint,
    uncompared_usd               numeric
)
LANGUAGE sql STABLE AS $$
    SELECT
        known_usd(
            coalesce(sum(cost_usd), 0), sum(requests)::bigint, sum(unpriced_requests + unmetered_requests)::bigint
        ),
        coalesce(sum(requests), 0)::bigint,
        coalesce(sum(requests) FILTER (WHERE provider_type = 'local'), 0)::bigint,
        coalesce(sum(requests) FILTER (WHERE provider_type = 'remote'), 0)::bigint,
        known_usd(
            coalesce(sum(savings_usd), 0),
            sum(requests)::bigint,
            greatest(sum(unpriced_requests + unmetered_requests), sum(baseline_unknown_requests))::bigint
        ),
        known_usd(
            coalesce(sum(hypothetical_claude_cost_usd), 0),
            sum(successes)::bigint,
            sum(baseline_unknown_requests)::bigint
        ),
        round(100 * sum(savings_usd) / nullif(sum(hypothetical_claude_cost_usd) - sum(uncompared_usd), 0), 2)::double precision,
        coalesce(sum(unpriced_requests), 0)::bigint,
        coalesce(sum(unmetered_requests), 0)::bigint,
        coalesce(sum(baseline_unknown_requests), 0)::bigint,
        coalesce(sum(uncompared_usd), 0)
    FROM llm_costs_by_provider(last_days)
$$;
COMMENT ON FUNCTION llm_cost_summary IS
    'Total cost, hypothetical cost at the baseline and savings over the last days (NULL: all); NULL where nothing of it is known. savings_percentage is of total + savings, the hypothetical cost of what has both; hypothetical - total - savings = uncompared_usd, as in llm_costs_by_provider.';

-- As before; the money of a day of which nothing is known is NULL.
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
        SELECT
            known_usd(
                coalesce(sum(cost_usd), 0), sum(requests)::bigint, sum(unpriced_requests + unmetered_requests)::bigint
            ) AS cost_usd,
            known_usd(
                coalesce(sum(savings_usd), 0),
                sum(requests)::bigint,
                greatest(sum(unpriced_requests + unmetered_requests), sum(baseline_unknown_requests))::bigint
            ) AS savings_usd
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
