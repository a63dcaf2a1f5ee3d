-- Usage by provider since the beginning, current to the last commit; providers beyond the bound are one, `_other`, so
-- that events which name any number of them do not make any number of time series. The oldest keep their name, or a
-- series would change its meaning. Reads only.
WITH named AS (
    SELECT name FROM llm_providers ORDER BY created_at, name LIMIT %(providers_max)s
), usage AS (
    SELECT *, day = (
        now() AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone')
    )::date AS is_today
    FROM (TABLE llm_costs_daily UNION ALL TABLE llm_costs_pending) AS daily_and_pending
)
SELECT
    coalesce(named.name, '_other') AS provider,
    coalesce(sum(usage.successes), 0)::bigint AS successes,
    coalesce(sum(usage.failures - usage.rate_limited), 0)::bigint AS failures,
    coalesce(sum(usage.rate_limited), 0)::bigint AS rate_limited,
    coalesce(sum(usage.cancelled), 0)::bigint AS cancelled,
    coalesce(sum(usage.fallbacks), 0)::bigint AS fallbacks,
    coalesce(sum(usage.unpriced_requests), 0)::bigint AS unpriced_requests,
    coalesce(sum(usage.unmetered_requests), 0)::bigint AS unmetered_requests,
    coalesce(sum(usage.prompt_tokens), 0) AS prompt_tokens,
    coalesce(sum(usage.completion_tokens), 0) AS completion_tokens,
    coalesce(sum(usage.cache_read_tokens), 0) AS cache_read_tokens,
    coalesce(sum(usage.cache_write_tokens), 0) AS cache_write_tokens,
    coalesce(sum(usage.cache_write_1h_tokens), 0) AS cache_write_1h_tokens,
    coalesce(sum(usage.reasoning_tokens), 0) AS reasoning_tokens,
    coalesce(sum(usage.cost_usd), 0) AS cost_usd,
    coalesce(sum(usage.baseline_cost_usd), 0) AS baseline_cost_usd,
    coalesce(sum(usage.savings_usd), 0) AS savings_usd,
    coalesce(sum(usage.cost_usd) FILTER (WHERE usage.is_today), 0) AS cost_today_usd,
    coalesce(sum(usage.savings_usd) FILTER (WHERE usage.is_today), 0) AS savings_today_usd,
    coalesce(sum(usage.duration_seconds_sum), 0) AS duration_seconds_sum,
    coalesce(sum(usage.duration_seconds_count), 0)::bigint AS duration_seconds_count
FROM named
FULL JOIN usage ON usage.provider = named.name
-- somebody may have called a provider just that
GROUP BY coalesce(named.name, '_other')
ORDER BY provider;
