-- Price rows of one provider or of all, those in force at a time or all. Reads only.
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
    multiplier::text AS multiplier,
    nullif(valid_from, '-infinity') AS valid_from,
    nullif(valid_to, 'infinity') AS valid_to,
    source
FROM llm_prices
WHERE (%(provider)s::text IS NULL OR provider = %(provider)s::text)
    AND (%(show_all)s OR (valid_from <= %(at)s AND %(at)s < valid_to))
ORDER BY provider, model_pattern, service_tier, above_input_tokens NULLS FIRST, llm_prices.valid_from, price_id;
