-- Moves what is pending of fallbacks into its daily rows (G3): deleted and added in one statement, so both or neither happen.
-- Safe to repeat, to run twice at once and to kill: a delta that is gone has been added exactly once.
WITH folded AS (
    DELETE FROM llm_fallback_deltas
    RETURNING *
)
INSERT INTO llm_fallbacks_daily AS daily
SELECT
    (quarter_start AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone'))::date AS day,
    original_provider,
    provider,
    sum(requests),
    sum(successes)
FROM folded
GROUP BY day, original_provider, provider
ORDER BY day, original_provider, provider
ON CONFLICT (day, original_provider, provider) DO UPDATE SET
    requests = daily.requests + excluded.requests,
    successes = daily.successes + excluded.successes;
