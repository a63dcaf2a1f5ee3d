-- What people ask of providers, days and the whole, current to the last commit. None of it reads a raw request, so none of
-- it becomes slower with their number: daily rows, what is not folded yet, and health rows are all that is read.

CREATE FUNCTION llm_first_day(last_days integer) RETURNS date
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN last_days IS NULL THEN '-infinity'::date
        ELSE (now() AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone'))::date - last_days + 1
    END
$$;
COMMENT ON FUNCTION llm_first_day IS 'The first of the last days, today among them, in the installation''s time zone; NULL: the first of all.';

-- In plpgsql, so that the first day is a value by the time the daily rows are looked up: as an expression it would be
-- looked at again for each of them.
CREATE FUNCTION llm_usage_since(first_day date) RETURNS TABLE (
    day                       date,
    provider                  text,
    model                     text,
    requests                  bigint,
    successes                 bigint,
    failures                  bigint,
    rate_limited              bigint,
    cancelled                 bigint,
    fallbacks                 bigint,
    unpriced_requests         bigint,
    unmetered_requests        bigint,
    baseline_unknown_requests bigint,
    prompt_tokens             numeric,
    completion_tokens         numeric,
    cache_read_tokens         numeric,
    cache_write_tokens        numeric,
    cache_write_1h_tokens     numeric,
    reasoning_tokens          numeric,
    cost_usd                  numeric,
    baseline_cost_usd         numeric,
    savings_usd               numeric,
    duration_seconds_sum      numeric,
    duration_seconds_count    bigint
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    zone text := (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone');
BEGIN
    RETURN QUERY
    SELECT
        day, provider, model, requests, successes, failures, rate_limited, cancelled, fallbacks, unpriced_requests,
        unmetered_requests, baseline_unknown_requests, prompt_tokens, completion_tokens, cache_read_tokens,
        cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, cost_usd, baseline_cost_usd, savings_usd,
        duration_seconds_sum, duration_seconds_count
    FROM llm_costs_daily
    WHERE day >= first_day
    UNION ALL
    SELECT
        (quarter_start AT TIME ZONE zone)::date, provider, model, requests, successes, failures, rate_limited, cancelled,
        fallbacks, unpriced_requests, unmetered_requests, baseline_unknown_requests, prompt_tokens, completion_tokens,
        cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, cost_usd, baseline_cost_usd,
        savings_usd, duration_seconds_sum, duration_seconds_count
    FROM llm_usage_deltas
    WHERE (quarter_start AT TIME ZONE zone)::date >= first_day;
END $$;
COMMENT ON FUNCTION llm_usage_since IS
    'Daily rows from a day on, and what is not folded into them yet as rows of its own: a day may come more than once. Sum it.';

CREATE FUNCTION llm_durations_since(first_day date) RETURNS TABLE (provider text, bucket integer, successes bigint)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    zone text := (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone');
BEGIN
    -- arrays are taken apart among the columns, which is faster than beside the table
    RETURN QUERY
    SELECT provider, bucket, sum(counted)::bigint
    FROM (
        SELECT
            provider,
            generate_series(0, array_length(duration_histogram, 1) - 1) AS bucket,
            unnest(duration_histogram) AS counted
        FROM llm_costs_daily
        WHERE day >= first_day
        UNION ALL
        SELECT provider, unnest(duration_buckets)::integer, 1
        FROM llm_usage_deltas
        WHERE (quarter_start AT TIME ZONE zone)::date >= first_day
    ) AS daily_and_pending
    WHERE counted <> 0
    GROUP BY provider, bucket;
END $$;
COMMENT ON FUNCTION llm_durations_since IS 'Successes from a day on by provider and duration_bucket(), with what is not folded yet.';

CREATE FUNCTION duration_bucket_ms(bucket integer) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT round((1000 * sqrt(
        (duration_bucket_bounds())[greatest(bucket, 1)]
        * (duration_bucket_bounds())[least(bucket + 1, array_length(duration_bucket_bounds(), 1))]
    ))::numeric, 1)::double precision
$$;
COMMENT ON FUNCTION duration_bucket_ms IS
    'The geometric middle of a bucket, in milliseconds: within 5 % of every duration in it, from 5 ms to an hour.';

CREATE OR REPLACE FUNCTION llm_costs_by_provider(last_days integer DEFAULT NULL) RETURNS TABLE (
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
        usage.provider,
        coalesce(providers.display_name, usage.provider),
        coalesce(providers.provider_type, 'remote'),
        sum(usage.requests)::bigint,
        sum(usage.successes)::bigint,
        sum(usage.failures)::bigint,
        sum(usage.rate_limited)::bigint,
        sum(usage.cancelled)::bigint,
        sum(usage.fallbacks)::bigint,
        round(100 * sum(usage.successes) / sum(usage.requests), 2)::double precision,
        round(1000 * sum(usage.duration_seconds_sum) / nullif(sum(usage.duration_seconds_count), 0), 1)::double precision,
        sum(usage.prompt_tokens),
        sum(usage.completion_tokens),
        sum(usage.cache_read_tokens),
        sum(usage.cache_write_tokens),
        sum(usage.cache_write_1h_tokens),
        sum(usage.reasoning_tokens),
        sum(usage.prompt_tokens) + sum(usage.completion_tokens),
        sum(usage.cost_usd),
        sum(usage.baseline_cost_usd),
        sum(usage.savings_usd),
        sum(usage.unpriced_requests)::bigint,
        sum(usage.unmetered_requests)::bigint,
        sum(usage.baseline_unknown_requests)::bigint
    FROM llm_usage_since(llm_first_day(last_days)) AS usage
    LEFT JOIN llm_providers AS providers ON providers.name = usage.provider
    GROUP BY usage.provider, providers.display_name, providers.provider_type, providers.priority
    HAVING sum(usage.requests) > 0
    ORDER BY coalesce(providers.priority, 1000), usage.provider
$$;

-- Every registered provider has its row, also without traffic; so has one that is registered no more and had some.
CREATE FUNCTION llm_provider_metrics(provider_name text DEFAULT NULL, last_days integer DEFAULT 30) RETURNS TABLE (
    provider                     text,
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
    p50_response_time_ms         double precision,
    p95_response_time_ms         double precision,
    p99_response_time_ms         double precision,
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
    WITH counted AS (
        SELECT
            provider,
            bucket,
            sum(successes) OVER (PARTITION BY provider ORDER BY bucket) AS so_far,
            sum(successes) OVER (PARTITION BY provider) AS total
        FROM llm_durations_since(llm_first_day(last_days))
    ), percentiles AS (
        SELECT
            provider,
            duration_bucket_ms(min(bucket) FILTER (WHERE so_far >= 0.50 * total)) AS p50,
            duration_bucket_ms(min(bucket) FILTER (WHERE so_far >= 0.95 * total)) AS p95,
            duration_bucket_ms(min(bucket) FILTER (WHERE so_far >= 0.99 * total)) AS p99
        FROM counted
        GROUP BY provider
    )
    SELECT
        coalesce(providers.name, usage.name),
        coalesce(providers.display_name, usage.name),
        coalesce(providers.provider_type, 'remote'),
        coalesce(usage.requests, 0),
        coalesce(usage.successes, 0),
        coalesce(usage.failures, 0),
        coalesce(usage.rate_limited, 0),
        coalesce(usage.cancelled, 0),
        coalesce(usage.fallbacks, 0),
        usage.success_rate,
        usage.avg_response_time_ms,
        percentiles.p50,
        percentiles.p95,
        percentiles.p99,
        coalesce(usage.prompt_tokens, 0),
        coalesce(usage.completion_tokens, 0),
        coalesce(usage.cache_read_tokens, 0),
        coalesce(usage.cache_write_tokens, 0),
        coalesce(usage.cache_write_1h_tokens, 0),
        coalesce(usage.reasoning_tokens, 0),
        coalesce(usage.total_tokens, 0),
        coalesce(usage.cost_usd, 0),
        coalesce(usage.hypothetical_claude_cost_usd, 0),
        coalesce(usage.savings_usd, 0),
        coalesce(usage.unpriced_requests, 0),
        coalesce(usage.unmetered_requests, 0),
        coalesce(usage.baseline_unknown_requests, 0)
    FROM llm_providers AS providers
    FULL JOIN llm_costs_by_provider(last_days) AS usage ON usage.name = providers.name
    LEFT JOIN percentiles ON percentiles.provider = usage.name
    WHERE provider_name IS NULL OR coalesce(providers.name, usage.name) = provider_name
    ORDER BY coalesce(providers.priority, 1000), coalesce(providers.name, usage.name)
$$;
COMMENT ON FUNCTION llm_provider_metrics IS
    'Requests, rates, durations, tokens and cost per provider (NULL: each) over the last days (NULL: all). Percentiles are of successes, within 5 %.';

CREATE FUNCTION llm_daily_trends(last_days integer DEFAULT 30) RETURNS TABLE (
    day                          date,
    provider                     text,
    requests                     bigint,
    successes                    bigint,
    failures                     bigint,
    success_rate                 double precision,
    avg_response_time_ms         double precision,
    prompt_tokens                numeric,
    completion_tokens            numeric,
    total_tokens                 numeric,
    cost_usd                     numeric,
    hypothetical_claude_cost_usd numeric,
    savings_usd                  numeric
)
LANGUAGE sql STABLE AS $$
    SELECT
        usage.day,
        usage.provider,
        sum(usage.requests)::bigint,
        sum(usage.successes)::bigint,
        sum(usage.failures)::bigint,
        round(100 * sum(usage.successes) / sum(usage.requests), 2)::double precision,
        round(1000 * sum(usage.duration_seconds_sum) / nullif(sum(usage.duration_seconds_count), 0), 1)::double precision,
        sum(usage.prompt_tokens),
        sum(usage.completion_tokens),
        sum(usage.prompt_tokens) + sum(usage.completion_tokens),
        sum(usage.cost_usd),
        sum(usage.baseline_cost_usd),
        sum(usage.savings_usd)
    FROM llm_usage_since(llm_first_day(last_days)) AS usage
    GROUP BY usage.day, usage.provider
    HAVING sum(usage.requests) > 0
    ORDER BY usage.day, usage.provider
$$;
COMMENT ON FUNCTION llm_daily_trends IS
    'Requests, tokens and cost per day and provider over the last days (NULL: all); a day without requests has no row.';

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
    percentiles.p50_ms,
    percentiles.p95_ms
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
COMMENT ON VIEW llm_provider_status IS
    'Each provider with its health from real traffic and its circuit now. success_rate is of all time; rolling_success_rate, avg_response_time_ms, p50_ms and p95_ms are of the last ten minutes that had traffic; percent.';
COMMENT ON COLUMN llm_provider_status.is_available IS 'Workers may choose it now: enabled, circuit neither open nor forced open, not throttled.';
COMMENT ON COLUMN llm_provider_status.status IS
    'The first that holds: disabled (not enabled), open, forced_open, throttled, half_open, degraded (under 90 % success), healthy, no_data.';

CREATE FUNCTION llm_overall_health() RETURNS TABLE (
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
        (SELECT count(*) FROM llm_rejected_events WHERE replayed_at IS NULL),
        unpriced.requests,
        registered.last_request_at
    FROM registered, recent, today, unpriced
$$;
COMMENT ON FUNCTION llm_overall_health IS
    'All of it in one row: ok, degraded (an enabled provider is in trouble, or under 90 % success), down (none is available), no_data. providers counts the enabled ones; requests, successes and success_rate are of the last ten minutes.';
-- what has no price is asked for at every look at the whole, and is seldom there
CREATE INDEX llm_costs_daily_unpriced ON llm_costs_daily (day) WHERE unpriced_requests <> 0;
