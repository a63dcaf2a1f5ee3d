-- Moves up to max_deltas deltas into their daily and hourly rows (G3): deleted and added in one statement, so all or none.
-- Safe to repeat, to run twice at once and to kill: a delta that is gone has been added exactly once.
-- Rows are written in order of their key, so that two folds never wait for each other in a circle.
WITH folded AS (
    DELETE FROM llm_usage_deltas
    -- up to the last one of the chunk, found by its place: as a list it would be joined, and by the statistics of a table
    -- that was analyzed when it was empty each delta would be compared with each
    WHERE delta_id <= coalesce(
        (SELECT delta_id FROM llm_usage_deltas ORDER BY delta_id OFFSET %(max_deltas)s - 1 LIMIT 1),
        9223372036854775807
    )
    RETURNING *
),
written AS (
    INSERT INTO llm_costs_daily AS daily
    SELECT
        (quarter_start AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone'))::date AS day,
        provider,
        model,
        sum(requests),
        sum(successes),
        sum(failures),
        sum(rate_limited),
        sum(cancelled),
        sum(fallbacks),
        sum(unpriced_requests),
        sum(unmetered_requests),
        sum(baseline_unknown_requests),
        sum(prompt_tokens),
        sum(completion_tokens),
        sum(cache_read_tokens),
        sum(cache_write_tokens),
        sum(cache_write_1h_tokens),
        sum(reasoning_tokens),
        sum(cost_usd),
        sum(baseline_cost_usd),
        sum(savings_usd),
        sum(duration_seconds_sum),
        sum(duration_seconds_count),
        make_histogram(duration_buckets, 1),
        now()
    FROM folded
    GROUP BY day, provider, model
    ORDER BY day, provider, model
    ON CONFLICT (day, provider, model) DO UPDATE SET
        requests = daily.requests + excluded.requests,
        successes = daily.successes + excluded.successes,
        failures = daily.failures + excluded.failures,
        rate_limited = daily.rate_limited + excluded.rate_limited,
        cancelled = daily.cancelled + excluded.cancelled,
        fallbacks = daily.fallbacks + excluded.fallbacks,
        unpriced_requests = daily.unpriced_requests + excluded.unpriced_requests,
        unmetered_requests = daily.unmetered_requests + excluded.unmetered_requests,
        baseline_unknown_requests = daily.baseline_unknown_requests + excluded.baseline_unknown_requests,
        prompt_tokens = daily.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = daily.completion_tokens + excluded.completion_tokens,
        cache_read_tokens = daily.cache_read_tokens + excluded.cache_read_tokens,
        cache_write_tokens = daily.cache_write_tokens + excluded.cache_write_tokens,
        cache_write_1h_tokens = daily.cache_write_1h_tokens + excluded.cache_write_1h_tokens,
        reasoning_tokens = daily.reasoning_tokens + excluded.reasoning_tokens,
        cost_usd = daily.cost_usd + excluded.cost_usd,
        baseline_cost_usd = daily.baseline_cost_usd + excluded.baseline_cost_usd,
        savings_usd = daily.savings_usd + excluded.savings_usd,
        duration_seconds_sum = daily.duration_seconds_sum + excluded.duration_seconds_sum,
        duration_seconds_count = daily.duration_seconds_count + excluded.duration_seconds_count,
        duration_histogram = add_histograms(daily.duration_histogram, excluded.duration_histogram),
        updated_at = excluded.updated_at
    RETURNING 1
),
written_hours AS (
    INSERT INTO llm_usage_hourly AS hourly
    SELECT
        name_hour(quarter_start) AS hour_start,
        provider,
        sum(requests),
        sum(successes),
        sum(failures),
        sum(rate_limited),
        sum(cancelled),
        sum(fallbacks),
        sum(unpriced_requests),
        sum(prompt_tokens),
        sum(completion_tokens),
        sum(cost_usd),
        sum(baseline_cost_usd),
        sum(savings_usd),
        sum(duration_seconds_sum),
        sum(duration_seconds_count)
    FROM folded
    GROUP BY hour_start, provider
    ORDER BY hour_start, provider
    ON CONFLICT (hour_start, provider) DO UPDATE SET
        requests = hourly.requests + excluded.requests,
        successes = hourly.successes + excluded.successes,
        failures = hourly.failures + excluded.failures,
        rate_limited = hourly.rate_limited + excluded.rate_limited,
        cancelled = hourly.cancelled + excluded.cancelled,
        fallbacks = hourly.fallbacks + excluded.fallbacks,
        unpriced_requests = hourly.unpriced_requests + excluded.unpriced_requests,
        prompt_tokens = hourly.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = hourly.completion_tokens + excluded.completion_tokens,
        cost_usd = hourly.cost_usd + excluded.cost_usd,
        baseline_cost_usd = hourly.baseline_cost_usd + excluded.baseline_cost_usd,
        savings_usd = hourly.savings_usd + excluded.savings_usd,
        duration_seconds_sum = hourly.duration_seconds_sum + excluded.duration_seconds_sum,
        duration_seconds_count = hourly.duration_seconds_count + excluded.duration_seconds_count
)
SELECT
    (SELECT count(*) FROM folded) AS deltas,
    (SELECT count(*) FROM written) AS daily_rows;
