-- All price rows, with unbounded validity as NULL. Reads only.
SELECT
    price_id,
    provider,
    model_pattern,
    service_tier,
    above_input_tokens,
    above_is_inclusive,
    windows_utc,
    input_usd_per_token,
    output_usd_per_token,
    cache_read_usd_per_token,
    cache_write_usd_per_token,
    cache_write_1h_usd_per_token,
    web_search_usd_per_call,
    multiplier,
    nullif(valid_from, '-infinity') AS valid_from,
    nullif(valid_to, 'infinity') AS valid_to
FROM llm_prices
ORDER BY price_id;
