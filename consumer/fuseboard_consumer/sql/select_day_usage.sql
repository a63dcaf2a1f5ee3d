-- Reads each provider's successes of yesterday and today, their tokens and durations, as folded: what is not folded yet
-- matters little here, and without the aggregator it would be ever more to sum up. A read, safe to repeat.
SELECT
    provider,
    sum(successes)::bigint AS successes,
    sum(completion_tokens) AS completion_tokens,
    sum_histograms(duration_histogram) AS duration_histogram
FROM llm_costs_daily
WHERE day >= (now() AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone'))::date - 1
GROUP BY provider;
