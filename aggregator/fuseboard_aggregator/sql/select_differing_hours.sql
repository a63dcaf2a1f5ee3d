-- The UTC hours of a range of time that do not say what its raw requests say. Reads only.
WITH raw AS (
    SELECT *
    FROM sum_request_hours(%(since)s, %(until)s)
),
counted AS (
    SELECT
        hour_start, provider, requests, successes, failures, rate_limited, cancelled, fallbacks, unpriced_requests,
        prompt_tokens, completion_tokens, coalesce(cost_usd, 0), baseline_cost_usd, coalesce(savings_usd, 0),
        duration_seconds_sum, duration_seconds_count
    FROM llm_usage_hourly_current
    WHERE hour_start >= %(since)s AND hour_start < %(until)s
)
SELECT hour_start
FROM ((TABLE raw EXCEPT TABLE counted) UNION ALL (TABLE counted EXCEPT TABLE raw)) AS differing
LIMIT 1;
