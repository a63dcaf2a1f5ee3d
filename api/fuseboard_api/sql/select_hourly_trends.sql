-- The last hours by provider. Reads only.
SELECT
    hour_start, provider, requests, successes, failures, success_rate, avg_response_time_ms, total_tokens, cost_usd,
    hypothetical_claude_cost_usd, savings_usd, unpriced_requests
FROM llm_hourly_trends(%(last_hours)s)
ORDER BY hour_start, provider;
