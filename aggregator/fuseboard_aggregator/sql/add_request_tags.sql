-- Adds the tagged requests of a range of time to their daily rows, or with sign -1 takes them away; days NULL means all days,
-- tag_key NULL every key that is kept. Not safe to repeat by itself: rebuild, repair and `tags add` call it under the fold
-- lock, in one transaction that balances it.
INSERT INTO llm_tag_costs_daily AS daily
SELECT
    day,
    tag_key,
    tag_value,
    %(sign)s * requests,
    %(sign)s * successes,
    %(sign)s * unpriced_requests,
    %(sign)s * unmetered_requests,
    %(sign)s * prompt_tokens,
    %(sign)s * completion_tokens,
    %(sign)s * cost_usd,
    %(sign)s * baseline_cost_usd,
    %(sign)s * savings_usd
FROM sum_request_tags(
    %(since)s,
    %(until)s,
    %(time_zone)s,
    ARRAY(SELECT kept.tag_key FROM llm_tag_keys AS kept WHERE %(tag_key)s::text IS NULL OR kept.tag_key = %(tag_key)s::text)
)
WHERE %(days)s::date[] IS NULL OR day = ANY(%(days)s::date[])
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
