-- A sum of which nothing is known is NULL and not 0: a provider without any price did not work for nothing. A sum of which
-- a part is known is of that part, and the numbers of requests beside it say what is in no figure.

CREATE FUNCTION known_usd(amount numeric, requests bigint, unknown_requests bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN requests > 0 AND unknown_requests >= requests THEN NULL ELSE amount END
$$;
COMMENT ON FUNCTION known_usd IS 'A sum of money, or NULL where it is not known of any of the requests.';

CREATE OR REPLACE VIEW llm_costs_current AS
SELECT
    day,
    provider,
    model,
    sum(requests)::bigint AS requests,
    sum(successes)::bigint AS successes,
    sum(failures)::bigint AS failures,
    sum(rate_limited)::bigint AS rate_limited,
    sum(cancelled)::bigint AS cancelled,
    sum(fallbacks)::bigint AS fallbacks,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    sum(unmetered_requests)::bigint AS unmetered_requests,
    sum(baseline_unknown_requests)::bigint AS baseline_unknown_requests,
    sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(cache_write_tokens) AS cache_write_tokens,
    sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    known_usd(sum(cost_usd), sum(requests)::bigint, sum(unpriced_requests + unmetered_requests)::bigint) AS cost_usd,
    known_usd(
        sum(baseline_cost_usd),
        sum(successes)::bigint,
        sum(baseline_unknown_requests)::bigint
    ) AS baseline_cost_usd,
    known_usd(
        sum(savings_usd),
        sum(requests)::bigint,
        greatest(sum(unpriced_requests + unmetered_requests)::bigint, sum(baseline_unknown_requests)::bigint)
    ) AS savings_usd,
    sum(duration_seconds_sum) AS duration_seconds_sum,
    sum(duration_seconds_count)::bigint AS duration_seconds_count,
    sum_histograms(duration_histogram) AS duration_histogram,
    max(updated_at) AS updated_at
FROM (
    SELECT * FROM llm_costs_daily
    UNION ALL
    SELECT * FROM llm_costs_pending
) AS daily_and_pending
GROUP BY day, provider, model;
COMMENT ON VIEW llm_costs_current IS
    'llm_costs_daily with what is not folded yet: exact at every moment. Money is NULL where it is not known of any request.';

CREATE OR REPLACE VIEW llm_usage_hourly_current AS
SELECT
    hour_start,
    provider,
    sum(requests)::bigint AS requests,
    sum(successes)::bigint AS successes,
    sum(failures)::bigint AS failures,
    sum(rate_limited)::bigint AS rate_limited,
    sum(cancelled)::bigint AS cancelled,
    sum(fallbacks)::bigint AS fallbacks,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    known_usd(sum(cost_usd), sum(requests)::bigint, sum(unpriced_requests)::bigint) AS cost_usd,
    sum(baseline_cost_usd) AS baseline_cost_usd,
    known_usd(sum(savings_usd), sum(requests)::bigint, sum(unpriced_requests)::bigint) AS savings_usd,
    sum(duration_seconds_sum) AS duration_seconds_sum,
    sum(duration_seconds_count)::bigint AS duration_seconds_count
FROM (
    SELECT * FROM llm_usage_hourly
    UNION ALL
    SELECT * FROM llm_usage_hourly_pending
) AS hourly_and_pending
GROUP BY hour_start, provider;
COMMENT ON VIEW llm_usage_hourly_current IS
    'llm_usage_hourly with what is not folded yet: exact at every moment. Cost and savings are NULL where no request has a price.';

CREATE OR REPLACE VIEW llm_tag_costs_current AS
SELECT
    day,
    tag_key,
    tag_value,
    sum(requests)::bigint AS requests,
    sum(successes)::bigint AS successes,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    sum(unmetered_requests)::bigint AS unmetered_requests,
    sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    known_usd(sum(cost_usd), sum(requests)::bigint, sum(unpriced_requests + unmetered_requests)::bigint) AS cost_usd,
    sum(baseline_cost_usd) AS baseline_cost_usd,
    known_usd(
        sum(savings_usd),
        sum(requests)::bigint,
        sum(unpriced_requests + unmetered_requests)::bigint
    ) AS savings_usd
FROM (
    SELECT * FROM llm_tag_costs_daily
    UNION ALL
    SELECT * FROM llm_tag_costs_pending
) AS daily_and_pending
GROUP BY day, tag_key, tag_value;
COMMENT ON VIEW llm_tag_costs_current IS
    'llm_tag_costs_daily with what is not folded yet: exact at every moment. Cost and savings are NULL where they are not known of any request.';

CREATE OR REPLACE FUNCTION llm_usage_since(first_day date) RETURNS TABLE (
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
        cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
        known_usd(cost_usd, requests, unpriced_requests + unmetered_requests),
        known_usd(baseline_cost_usd, successes, baseline_unknown_requests),
        known_usd(savings_usd, requests, greatest(unpriced_requests + unmetered_requests, baseline_unknown_requests)),
        duration_seconds_sum, duration_seconds_count
    FROM llm_costs_daily
    WHERE day >= first_day
    UNION ALL
    SELECT
        (quarter_start AT TIME ZONE zone)::date, provider, model, requests, successes, failures, rate_limited, cancelled,
        fallbacks, unpriced_requests, unmetered_requests, baseline_unknown_requests, prompt_tokens, completion_tokens,
        cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
        known_usd(cost_usd, requests, unpriced_requests + unmetered_requests),
        known_usd(baseline_cost_usd, successes, baseline_unknown_requests),
        known_usd(savings_usd, requests, greatest(unpriced_requests + unmetered_requests, baseline_unknown_requests)),
        duration_seconds_sum, duration_seconds_count
    FROM llm_usage_deltas
    WHERE (quarter_start AT TIME ZONE zone)::date >= first_day;
END $$;
-- As before, and what stands between the three sums, so that they add up: they are not all of the same requests. Where the
-- baseline of all is known it is what the requests without a cost would have cost there.
DROP FUNCTION llm_costs_by_provider;
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
    baseline_unknown_requests    bigint,
    uncompared_usd               numeric
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
        known_usd(
            coalesce(sum(usage.cost_usd), 0),
            sum(usage.requests)::bigint,
            sum(usage.unpriced_requests + usage.unmetered_requests)::bigint
        ),
        known_usd(
            coalesce(sum(usage.baseline_cost_usd), 0),
            sum(usage.successes)::bigint,
            sum(usage.baseline_unknown_requests)::bigint
        ),
        known_usd(
            coalesce(sum(usage.savings_usd), 0),
            sum(usage.requests)::bigint,
            greatest(
                sum(usage.unpriced_requests + usage.unmetered_requests)::bigint,
                sum(usage.baseline_unknown_requests)::bigint
            )
        ),
        sum(usage.unpriced_requests)::bigint,
        sum(usage.unmetered_requests)::bigint,
        sum(usage.baseline_unknown_requests)::bigint,
        coalesce(sum(usage.baseline_cost_usd), 0) - coalesce(sum(usage.cost_usd), 0) - coalesce(sum(usage.savings_usd), 0)
    FROM llm_usage_since(llm_first_day(last_days)) AS usage
    LEFT JOIN llm_providers AS providers ON providers.name = usage.provider
    GROUP BY usage.provider, providers.display_name, providers.provider_type, providers.priority
    HAVING sum(usage.requests) > 0
    ORDER BY coalesce(providers.priority, 1000), usage.provider
$$;
COMMENT ON FUNCTION llm_costs_by_provider IS
    'Requests, tokens and cost per provider over the last days (NULL: all). Money is exact, and NULL where it is not known of any request; see unpriced_requests. hypothetical - cost - savings = uncompared_usd: requests without a cost, less those without a hypothetical cost.';

DROP FUNCTION llm_cost_summary;
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
        round(100 * sum(savings_usd) / nullif(sum(hypothetical_claude_cost_usd), 0), 2)::double precision,
        coalesce(sum(unpriced_requests), 0)::bigint,
        coalesce(sum(unmetered_requests), 0)::bigint,
        coalesce(sum(baseline_unknown_requests), 0)::bigint,
        coalesce(sum(uncompared_usd), 0)
    FROM llm_costs_by_provider(last_days)
$$;
COMMENT ON FUNCTION llm_cost_summary IS
    'Total cost, hypothetical cost at the baseline and savings over the last days (NULL: all); NULL where nothing of it is known. savings_percentage is of the hypothetical cost; hypothetical - total - savings = uncompared_usd, as in llm_costs_by_provider.';

-- As before; no traffic is 0.
CREATE OR REPLACE FUNCTION llm_provider_metrics(provider_name text DEFAULT NULL, last_days integer DEFAULT 30) RETURNS TABLE (
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
        CASE WHEN usage.name IS NULL THEN 0 ELSE usage.cost_usd END,
        CASE WHEN usage.name IS NULL THEN 0 ELSE usage.hypothetical_claude_cost_usd END,
        CASE WHEN usage.name IS NULL THEN 0 ELSE usage.savings_usd END,
        coalesce(usage.unpriced_requests, 0),
        coalesce(usage.unmetered_requests, 0),
        coalesce(usage.baseline_unknown_requests, 0)
    FROM llm_providers AS providers
    FULL JOIN llm_costs_by_provider(last_days) AS usage ON usage.name = providers.name
    LEFT JOIN percentiles ON percentiles.provider = usage.name
    WHERE provider_name IS NULL OR coalesce(providers.name, usage.name) = provider_name
    ORDER BY coalesce(providers.priority, 1000), coalesce(providers.name, usage.name)
$$;
CREATE OR REPLACE FUNCTION llm_daily_trends(last_days integer DEFAULT 30) RETURNS TABLE (
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
    savings_usd                  numeric,
    unpriced_requests            bigint,
    unmetered_requests           bigint
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
        known_usd(
            coalesce(sum(usage.cost_usd), 0),
            sum(usage.requests)::bigint,
            sum(usage.unpriced_requests + usage.unmetered_requests)::bigint
        ),
        known_usd(
            coalesce(sum(usage.baseline_cost_usd), 0),
            sum(usage.successes)::bigint,
            sum(usage.baseline_unknown_requests)::bigint
        ),
        known_usd(
            coalesce(sum(usage.savings_usd), 0),
            sum(usage.requests)::bigint,
            greatest(
                sum(usage.unpriced_requests + usage.unmetered_requests)::bigint,
                sum(usage.baseline_unknown_requests)::bigint
            )
        ),
        sum(usage.unpriced_requests)::bigint,
        sum(usage.unmetered_requests)::bigint
    FROM llm_usage_since(llm_first_day(last_days)) AS usage
    GROUP BY usage.day, usage.provider
    HAVING sum(usage.requests) > 0
    ORDER BY usage.day, usage.provider
$$;
-- As before; what is not known comes last.
CREATE OR REPLACE FUNCTION llm_costs_by_tag(tag_key text, last_days integer DEFAULT 30) RETURNS TABLE (
    tag_value                    text,
    requests                     bigint,
    successes                    bigint,
    success_rate                 double precision,
    total_tokens                 numeric,
    cost_usd                     numeric,
    hypothetical_claude_cost_usd numeric,
    savings_usd                  numeric,
    unpriced_requests            bigint,
    unmetered_requests           bigint
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    key      text := tag_key;
    whole    llm_tag_keys := (SELECT llm_tag_keys FROM llm_tag_keys WHERE tag_key = key);
    first_day date := greatest(llm_first_day(last_days), whole.whole_from);
BEGIN
    IF whole.whole_from IS NULL THEN
        RAISE EXCEPTION 'cost by the tag % is not kept', key
        USING ERRCODE = 'undefined_parameter', HINT = format('Run `fuseboard tags add %s`; `fuseboard tags list` shows those that are.', key);
    END IF;
    RETURN QUERY
    WITH tagged AS (
        SELECT
            tag_value,
            sum(requests) AS requests,
            sum(successes) AS successes,
            sum(prompt_tokens) + sum(completion_tokens) AS total_tokens,
            sum(cost_usd) AS cost_usd,
            sum(baseline_cost_usd) AS baseline_cost_usd,
            sum(savings_usd) AS savings_usd,
            sum(unpriced_requests) AS unpriced_requests,
            sum(unmetered_requests) AS unmetered_requests
        FROM llm_tag_costs_current
        WHERE tag_key = key AND day >= first_day
        GROUP BY tag_value
    ), untagged AS (
        -- what nobody tagged is the rest of everything
        SELECT
            NULL::text AS tag_value,
            sum(requests) AS requests,
            sum(successes) AS successes,
            sum(total_tokens) AS total_tokens,
            sum(cost_usd) AS cost_usd,
            sum(baseline_cost_usd) AS baseline_cost_usd,
            sum(savings_usd) AS savings_usd,
            sum(unpriced_requests) AS unpriced_requests,
            sum(unmetered_requests) AS unmetered_requests
        FROM (
            SELECT
                requests, successes, prompt_tokens + completion_tokens AS total_tokens, cost_usd, baseline_cost_usd,
                savings_usd, unpriced_requests, unmetered_requests
            FROM llm_usage_since(first_day)
            UNION ALL
            SELECT
                -requests, -successes, -total_tokens, -cost_usd, -baseline_cost_usd, -savings_usd, -unpriced_requests,
                -unmetered_requests
            FROM tagged
        ) AS all_without_tagged
    )
    SELECT
        tag_value,
        requests::bigint,
        successes::bigint,
        round(100 * successes / requests, 2)::double precision,
        total_tokens,
        known_usd(coalesce(cost_usd, 0), requests::bigint, (unpriced_requests + unmetered_requests)::bigint),
        baseline_cost_usd,
        known_usd(coalesce(savings_usd, 0), requests::bigint, (unpriced_requests + unmetered_requests)::bigint),
        unpriced_requests::bigint,
        unmetered_requests::bigint
    FROM (SELECT * FROM tagged UNION ALL SELECT * FROM untagged) AS by_value
    WHERE requests > 0
    ORDER BY cost_usd DESC NULLS LAST, tag_value;
END $$;
