-- Moves what is pending of tags into its daily rows (G3): deleted and added in one statement, so both or neither happen.
-- Safe to repeat, to run twice at once and to kill: a delta that is gone has been added exactly once.
WITH folded AS (
    DELETE FROM llm_tag_deltas
    RETURNING *
)
INSERT INTO llm_tag_costs_daily AS daily
SELECT
    (quarter_start AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone'))::date AS day,
    tag_key,
    tag_value,
    sum(requests),
    sum(successes),
    sum(unpriced_requests),
    sum(unmetered_requests),
    sum(prompt_tokens),
    sum(completion_tokens),
    sum(cost_usd),
    sum(baseline_cost_usd),
    sum(savings_usd)
FROM folded
GROUP BY day, tag_key, tag_value
ORDER BY day, tag_key, tag_value
ON CONFLICT (tag_key, day, tag_value) DO UPDATE SET
    requests = daily.requests + excluded.requests,
    successes = daily.successes + excluded.successes,
    unpriced_requests = daily.unpriced_requests + excluded.unpriced_requests,
    unmetered_requests = daily.unmetered_requests + excluded.unmetered_requests,
    prompt_tokens = daily.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = daily.completion_tokens + excluded.completion_tokens,
    cost_usd = daily.cost_usd + excluded.cost_usd,
    baseline_cost_usd = daily.baseline_cost_usd + excluded.baseline_cost_usd,
    savings_usd = daily.savings_usd + excluded.savings_usd;
