-- Adds a price, up to where a later one begins. To be run after end_price in one transaction: repeated, it would add
-- a row that overlaps the first.
INSERT INTO llm_prices (
    provider,
    model_pattern,
    service_tier,
    above_input_tokens,
    input_usd_per_token,
    output_usd_per_token,
    cache_read_usd_per_token,
    cache_write_usd_per_token,
    cache_write_1h_usd_per_token,
    valid_from,
    valid_to,
    source
)
SELECT
    %(provider)s,
    %(model_pattern)s,
    %(service_tier)s,
    %(above_input_tokens)s,
    %(input_usd_per_token)s,
    %(output_usd_per_token)s,
    %(cache_read_usd_per_token)s,
    %(cache_write_usd_per_token)s,
    %(cache_write_1h_usd_per_token)s,
    %(valid_from)s,
    coalesce(min(later.valid_from), 'infinity'),
    %(source)s
FROM llm_prices AS later
WHERE later.provider = %(provider)s
    AND later.model_pattern = %(model_pattern)s
    AND later.service_tier = %(service_tier)s
    AND later.above_input_tokens IS NOT DISTINCT FROM %(above_input_tokens)s::bigint
    AND later.windows_utc IS NULL
    AND later.valid_from > %(valid_from)s
    AND later.valid_to > later.valid_from
RETURNING
    price_id,
    nullif(valid_to, 'infinity') AS valid_to,
    EXISTS (SELECT FROM llm_providers WHERE name = llm_prices.provider) AS provider_is_known;
