-- Reads which revision each circuit is at, and when any batch was last folded. A read, safe to repeat.
SELECT
    health.provider,
    health.revision,
    extract(epoch FROM clock_timestamp() - health.updated_at)::double precision AS idle_seconds
FROM llm_provider_health AS health
JOIN llm_providers AS providers ON providers.name = health.provider;
