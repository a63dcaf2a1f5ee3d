-- A price row, and whether a stored request was priced by it, which can only be one of its time. Locks prices before.
SELECT
    price.provider,
    price.model_pattern,
    price.valid_from >= price.valid_to AS is_void,
    EXISTS (
        SELECT FROM llm_requests
        WHERE (price_id = price.price_id OR baseline_price_id = price.price_id)
            AND occurred_at >= price.valid_from AND occurred_at < price.valid_to
    ) AS is_used
FROM llm_prices AS price
WHERE price.price_id = %(price_id)s;
