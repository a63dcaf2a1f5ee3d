-- Compare daily rows and pending deltas with the raw requests (G3).
-- Each side is one of a snapshot; what comes back is on one side only. Only reads.
WITH raw AS (
    SELECT
        (occurred_at AT TIME ZONE 'UTC')::date AS day,
        provider,
        model,
        count(*)::numeric AS requests,
        coalesce(sum(cost_usd), 0) AS cost_usd,
        coalesce(sum(savings_usd), 0) AS savings_usd,
        coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
        coalesce(sum(completion_tokens), 0) AS completion_tokens
    FROM llm_requests
    GROUP BY 1, 2, 3
), counted AS (
    SELECT
        day,
        provider,
        model,
        sum(requests) AS requests,
        coalesce(sum(cost_usd), 0) AS cost_usd,
        coalesce(sum(savings_usd), 0) AS savings_usd,
        sum(prompt_tokens) AS prompt_tokens,
        sum(completion_tokens) AS completion_tokens
    FROM (
        SELECT day, provider, model, requests, cost_usd, savings_usd, prompt_tokens, completion_tokens FROM llm_costs_daily
        UNION ALL
        SELECT (quarter_start AT TIME ZONE 'UTC')::date, provider, model, requests, cost_usd, savings_usd, prompt_tokens, completion_tokens FROM llm_usage_deltas
    ) AS folded_and_pending
    GROUP BY 1, 2, 3
)
SELECT 'raw' AS side, only_raw.* FROM (TABLE raw EXCEPT ALL TABLE counted) AS only_raw
UNION ALL
SELECT 'counted', only_counted.* FROM (TABLE counted EXCEPT ALL TABLE raw) AS only_counted
