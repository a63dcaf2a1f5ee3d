-- Adds the raw requests of a range of time to the daily rows, or with sign -1 takes them away; days NULL means all days.
-- Not safe to repeat by itself: rebuild and repair call it under the fold lock, in one transaction that balances it.
INSERT INTO llm_costs_daily AS daily
SELECT
    day,
    provider,
    model,
    %(sign)s * requests,
    %(sign)s * successes,
    %(sign)s * failures,
    %(sign)s * rate_limited,
    %(sign)s * cancelled,
    %(sign)s * fallbacks,
    %(sign)s * unpriced_requests,
    %(sign)s * unmetered_requests,
    %(sign)s * baseline_unknown_requests,
    %(sign)s * prompt_tokens,
    %(sign)s * completion_tokens,
    %(sign)s * cache_read_tokens,
    %(sign)s * cache_write_tokens,
    %(sign)s * cache_write_1h_tokens,
    %(sign)s * reasoning_tokens,
    %(sign)s * cost_usd,
    %(sign)s * baseline_cost_usd,
    %(sign)s * savings_usd,
    %(sign)s * duration_seconds_sum,
    %(sign)s * duration_seconds_count,
    (
        SELECT array_agg(%(sign)s * counted ORDER BY position)
        FROM unnest(duration_histogram) WITH ORDINALITY AS bucket(counted, position)
    ),
    now()
FROM sum_request_usage(%(since)s, %(until)s, %(time_zone)s)
WHERE %(days)s::date[] IS NULL OR day = ANY(%(days)s::date[])
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
    updated_at = excluded.updated_at;
