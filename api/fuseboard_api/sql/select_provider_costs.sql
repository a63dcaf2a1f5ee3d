-- Costs by provider over the last days. Reads only.
SELECT
    name, display_name, provider_type, requests, successes, success_rate, avg_response_time_ms, total_tokens,
    cost_usd, hypothetical_claude_cost_usd, savings_usd, unpriced_requests, unmetered_requests,
    baseline_unknown_requests, uncompared_usd, cost_usd + savings_usd AS compared_usd
FROM llm_costs_by_provider(%(last_days)s);
