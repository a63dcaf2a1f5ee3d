-- Deletes the daily rows of tags that say nothing, as a change of time zone leaves behind. Safe to repeat.
DELETE FROM llm_tag_costs_daily
WHERE requests = 0
    AND successes = 0
    AND unpriced_requests = 0
    AND unmetered_requests = 0
    AND prompt_tokens = 0
    AND completion_tokens = 0
    AND cost_usd = 0
    AND baseline_cost_usd = 0
    AND savings_usd = 0;
