-- Deletes the daily rows that say nothing, as a change of time zone leaves behind. Safe to repeat.
DELETE FROM llm_costs_daily
WHERE requests = 0
    AND successes = 0
    AND failures = 0
    AND rate_limited = 0
    AND cancelled = 0
    AND fallbacks = 0
    AND unpriced_requests = 0
    AND unmetered_requests = 0
    AND baseline_unknown_requests = 0
    AND prompt_tokens = 0
    AND completion_tokens = 0
    AND cache_read_tokens = 0
    AND cache_write_tokens = 0
    AND cache_write_1h_tokens = 0
    AND reasoning_tokens = 0
    AND cost_usd = 0
    AND baseline_cost_usd = 0
    AND savings_usd = 0
    AND duration_seconds_sum = 0
    AND duration_seconds_count = 0
    AND 0 = ALL(duration_histogram);
