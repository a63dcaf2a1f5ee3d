-- Takes a price row out of force for all time, and lets the row that ended where it began go on instead.
-- Safe to repeat: a row without any time has no row that ended for it.
WITH before AS (
    SELECT * FROM llm_prices WHERE price_id = %(price_id)s
), withdrawn AS (
    UPDATE llm_prices AS price
    SET
        valid_from = greatest(price.valid_from, '1970-01-01 00:00Z'),
        valid_to = greatest(price.valid_from, '1970-01-01 00:00Z')
    FROM before
    WHERE price.price_id = before.price_id
)
UPDATE llm_prices AS earlier
SET valid_to = before.valid_to
FROM before
WHERE before.valid_from < before.valid_to
    AND earlier.price_id <> before.price_id
    AND earlier.provider = before.provider
    AND earlier.model_pattern = before.model_pattern
    AND earlier.service_tier = before.service_tier
    AND earlier.above_input_tokens IS NOT DISTINCT FROM before.above_input_tokens
    AND earlier.windows_utc IS NULL
    AND before.windows_utc IS NULL
    AND earlier.valid_from < earlier.valid_to
    AND earlier.valid_to = before.valid_from
RETURNING earlier.price_id;
