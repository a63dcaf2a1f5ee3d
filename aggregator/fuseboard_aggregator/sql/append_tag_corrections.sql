-- Appends what requests add to the measures by tag that prices decide, or with sign -1 takes it away (G3): once before the
-- requests are changed and once after, in their transaction.
INSERT INTO llm_tag_deltas (
    quarter_start,
    tag_key,
    tag_value,
    requests,
    successes,
    unpriced_requests,
    unmetered_requests,
    prompt_tokens,
    completion_tokens,
    cost_usd,
    baseline_cost_usd,
    savings_usd
)
SELECT
    quarter_start,
    tag_key,
    tags ->> tag_key,
    0,
    0,
    %(sign)s * sum(unpriced_requests),
    %(sign)s * sum(unmetered_requests),
    0,
    0,
    %(sign)s * sum(cost_usd),
    %(sign)s * sum(baseline_cost_usd),
    %(sign)s * sum(savings_usd)
FROM llm_request_usage, unnest(ARRAY(SELECT kept.tag_key FROM llm_tag_keys AS kept)) AS tag_key
WHERE occurred_at >= %(since)s AND occurred_at < %(until)s AND event_id = ANY(%(event_ids)s) AND tags ? tag_key
GROUP BY 1, 2, 3;
