-- Models that no price row covers, the most used first. Reads only.
SELECT
    provider, model, unpriced_requests, last_day, unpriced_since
FROM llm_unpriced_models
ORDER BY unpriced_requests DESC, provider, model;
