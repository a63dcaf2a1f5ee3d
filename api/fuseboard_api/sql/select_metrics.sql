-- The metrics of one provider, or of each where that is NULL, over the last days. Reads only.
SELECT
    provider, display_name, provider_type, requests, successes, failures, rate_limited, cancelled, fallbacks,
    success_rate, avg_response_time_ms, p50_response_time_ms, p95_response_time_ms, p99_response_time_ms,
    prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
    total_tokens, cost_usd, hypothetical_claude_cost_usd, savings_usd, unpriced_requests, unmetered_requests,
    baseline_unknown_requests
FROM llm_provider_metrics(%(provider)s, %(last_days)s);
