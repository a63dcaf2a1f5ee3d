-- The next requests of a range of time, in order of event_id, that a reprice looks at. Reads only.
SELECT
    event_id,
    occurred_at,
    provider,
    model,
    service_tier,
    status,
    prompt_tokens,
    completion_tokens,
    cache_read_tokens,
    cache_write_tokens,
    cache_write_1h_tokens,
    web_searches,
    reported_cost_usd,
    cost_usd,
    price_id,
    baseline_cost_usd,
    baseline_price_id,
    savings_usd
FROM llm_requests
WHERE occurred_at >= %(since)s
    AND occurred_at < %(until)s
    AND (%(after)s::uuid IS NULL OR event_id > %(after)s::uuid)
    AND (NOT %(only_unpriced)s OR cost_usd IS NULL)
    AND (%(provider)s::text IS NULL OR provider = %(provider)s::text)
    AND (%(model)s::text IS NULL OR model = %(model)s::text)
ORDER BY event_id
LIMIT %(max_requests)s;
