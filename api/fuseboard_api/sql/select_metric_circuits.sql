-- What each circuit is now, and how long its last successes took; of the providers that select_metric_usage names.
-- Reads only.
SELECT
    circuits.provider,
    circuits.enabled,
    circuits.state,
    circuits.is_throttled,
    coalesce(circuits.version, 0) AS transitions,
    coalesce(health.rolling_durations, '{}') AS rolling_durations
FROM (SELECT name FROM llm_providers ORDER BY created_at, name LIMIT %(providers_max)s) AS named
JOIN llm_circuits AS circuits ON circuits.provider = named.name
LEFT JOIN llm_provider_health AS health ON health.provider = named.name
ORDER BY circuits.provider;
