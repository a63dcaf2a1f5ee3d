-- What each value of a tag cost over the last days, the most expensive first. Reads only.
SELECT
    tag_value, requests, successes, success_rate, total_tokens, cost_usd, hypothetical_claude_cost_usd, savings_usd,
    unpriced_requests, unmetered_requests
FROM llm_costs_by_tag(%(tag_key)s, %(last_days)s)
ORDER BY cost_usd DESC NULLS LAST, tag_value
LIMIT %(limit)s;
