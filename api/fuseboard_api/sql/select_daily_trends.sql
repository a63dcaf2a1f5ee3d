-- The last days by provider. Reads only.
SELECT
    day, provider, requests, successes, failures, success_rate, avg_response_time_ms, total_tokens, cost_usd,
    hypothetical_claude_cost_usd, savings_usd, unpriced_requests, unmetered_requests
FROM llm_daily_trends(%(last_days)s)
ORDER BY day, provider;
