-- The cost summary over the last days. Reads only.
SELECT
    total_cost_usd, total_requests, local_requests, remote_requests, estimated_savings_usd,
    hypothetical_claude_cost_usd, savings_percentage, unpriced_requests, unmetered_requests, baseline_unknown_requests,
    uncompared_usd, total_cost_usd + estimated_savings_usd AS compared_usd
FROM llm_cost_summary(%(last_days)s);
