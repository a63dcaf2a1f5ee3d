-- How all of it is, in one row. Reads only.
SELECT
    status, providers, available_providers, open_circuits, requests, successes, success_rate, cost_today_usd,
    savings_today_usd, unfolded_requests, rejected_events, unpriced_requests, last_request_at
FROM llm_overall_health();
