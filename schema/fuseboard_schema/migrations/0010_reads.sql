-- What people ask, answered once: the command line, the HTTP API and any SQL client read these, current to the last commit.

-- Costs by provider over the last days, today among them, in the installation's time zone; all days where last_days is NULL.
CREATE FUNCTION llm_costs_by_provider(last_days integer DEFAULT NULL) RETURNS TABLE (
    name                         text,
    display_name                 text,
    provider_type                text,
    requests                     bigint,
    successes                    bigint,
    failures                     bigint,
    rate_limited                 bigint,
    cancelled                    bigint,
    fallbacks                    bigint,
    success_rate                 double precision,
    avg_response_time_ms         double precision,
    prompt_tokens                numeric,
    completion_tokens            numeric,
    cache_read_tokens            numeric,
    cache_write_tokens           numeric,
    cache_write_1h_tokens        numeric,
    reasoning_tokens             numeric,
    total_tokens                 numeric,
    cost_usd                     numeric,
    hypothetical_claude_cost_usd numeric,
    savings_usd                  numeric,
    unpriced_requests            bigint,
    unmetered_requests           bigint,
    baseline_unknown_requests    bigint
)
LANGUAGE sql STABLE AS $$
    SELECT
        costs.provider,
        coalesce(providers.display_name, costs.provider),
        coalesce(providers.provider_type, 'remote'),
        sum(costs.requests)::bigint,
        sum(costs.successes)::bigint,
        sum(costs.failures)::bigint,
        sum(costs.rate_limited)::bigint,
        sum(costs.cancelled)::bigint,
        sum(costs.fallbacks)::bigint,
        round(100 * sum(costs.successes) / sum(costs.requests), 2)::double precision,
        round(1000 * sum(costs.duration_seconds_sum) / nullif(sum(costs.duration_seconds_count), 0), 1)::double precision,
        sum(costs.prompt_tokens),
        sum(costs.completion_tokens),
        sum(costs.cache_read_tokens),
        sum(costs.cache_write_tokens),
        sum(costs.cache_write_1h_tokens),
        sum(costs.reasoning_tokens),
        sum(costs.prompt_tokens) + sum(costs.completion_tokens),
        sum(costs.cost_usd),
        sum(costs.baseline_cost_usd),
        sum(costs.savings_usd),
        sum(costs.unpriced_requests)::bigint,
        sum(costs.unmetered_requests)::bigint,
        sum(costs.baseline_unknown_requests)::bigint
    FROM llm_costs_current AS costs
    LEFT JOIN llm_providers AS providers ON providers.name = costs.provider
    WHERE last_days IS NULL
        OR costs.day > (
            now() AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE fuseboard_settings.name = 'day_time_zone')
        )::date - last_days
    GROUP BY costs.provider, providers.display_name, providers.provider_type, providers.priority
    HAVING sum(costs.requests) > 0
    ORDER BY coalesce(providers.priority, 1000), costs.provider
$$;
COMMENT ON FUNCTION llm_costs_by_provider IS
    'Requests, tokens and cost per provider over the last days (NULL: all). Money is exact; see unpriced_requests.';

-- The same in one row: what all of it cost, and what it would have cost at the baseline.
CREATE FUNCTION llm_cost_summary(last_days integer DEFAULT NULL) RETURNS TABLE (
    total_cost_usd               numeric,
    total_requests               bigint,
    local_requests               bigint,
    remote_requests              bigint,
    estimated_savings_usd        numeric,
    hypothetical_claude_cost_usd numeric,
    savings_percentage           double precision,
    unpriced_requests            bigint,
    unmetered_requests           bigint,
    baseline_unknown_requests    bigint
)
LANGUAGE sql STABLE AS $$
    SELECT
        coalesce(sum(cost_usd), 0),
        coalesce(sum(requests), 0)::bigint,
        coalesce(sum(requests) FILTER (WHERE provider_type = 'local'), 0)::bigint,
        coalesce(sum(requests) FILTER (WHERE provider_type = 'remote'), 0)::bigint,
        coalesce(sum(savings_usd), 0),
        coalesce(sum(hypothetical_claude_cost_usd), 0),
        round(100 * sum(savings_usd) / nullif(sum(hypothetical_claude_cost_usd), 0), 2)::double precision,
        coalesce(sum(unpriced_requests), 0)::bigint,
        coalesce(sum(unmetered_requests), 0)::bigint,
        coalesce(sum(baseline_unknown_requests), 0)::bigint
    FROM llm_costs_by_provider(last_days)
$$;
COMMENT ON FUNCTION llm_cost_summary IS
    'Total cost, hypothetical cost at the baseline and savings over the last days (NULL: all). savings_percentage is of the hypothetical cost.';

CREATE VIEW llm_provider_status AS
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
    health.last_error_type
FROM llm_providers AS providers
LEFT JOIN llm_provider_health AS health ON health.provider = providers.name;
COMMENT ON VIEW llm_provider_status IS
    'Each provider with its health from real traffic. success_rate is of all time, rolling_success_rate and avg_response_time_ms of the last ten minutes that had traffic; percent.';

CREATE VIEW llm_unpriced_models AS
SELECT
    provider,
    model,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    max(day) AS last_day
FROM llm_costs_current
WHERE unpriced_requests > 0
GROUP BY provider, model;
COMMENT ON VIEW llm_unpriced_models IS 'Models with requests that no price row covers: they are in no cost figure until `fuseboard prices set` and `reprice`.';

CREATE VIEW llm_pipeline_status AS
SELECT
    (SELECT coalesce(sum(requests), 0)::bigint FROM llm_usage_deltas) AS unfolded_requests,
    (SELECT last_success_at FROM fuseboard_job_runs WHERE job = 'fold') AS last_fold_at,
    (SELECT count(*) FROM llm_rejected_events WHERE replayed_at IS NULL) AS rejected_events,
    (SELECT coalesce(sum(unpriced_requests), 0)::bigint FROM llm_unpriced_models) AS unpriced_requests,
    (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone') AS day_time_zone,
    (SELECT value::timestamptz FROM fuseboard_settings WHERE name = 'raw_retained_from') AS raw_retained_from;
COMMENT ON VIEW llm_pipeline_status IS 'What stands between an event and the daily rows inside the database, in one row.';

CREATE VIEW llm_usage_mismatches AS
SELECT
    provider,
    model,
    count(*) AS requests,
    max(occurred_at) AS last_occurred_at
FROM llm_requests
WHERE total_tokens <> prompt_tokens + completion_tokens
GROUP BY provider, model;
COMMENT ON VIEW llm_usage_mismatches IS
    'Models whose reported total is not prompt + completion: their adapter misreads the provider. Reads the raw requests.';
