-- The sums over all daily rows. Reads only.
SELECT
    count(*) AS daily_rows,
    coalesce(sum(requests), 0)::bigint AS requests,
    coalesce(sum(cost_usd), 0) AS cost_usd,
    coalesce(sum(baseline_cost_usd), 0) AS baseline_cost_usd,
    coalesce(sum(savings_usd), 0) AS savings_usd
FROM llm_costs_daily;
