-- Ends the row that a new price replaces. Safe to repeat: a row that has ended by then is not in force any more.
UPDATE llm_prices
SET valid_to = %(valid_from)s
WHERE provider = %(provider)s
    AND model_pattern = %(model_pattern)s
    AND service_tier = %(service_tier)s
    AND above_input_tokens IS NOT DISTINCT FROM %(above_input_tokens)s::bigint
    AND windows_utc IS NULL
    AND valid_from <= %(valid_from)s
    AND valid_to > %(valid_from)s
RETURNING price_id;
