-- Reads what workers are told of providers (NULL: of all), with what is left of deadlines by the database's clock: no two
-- machines' clocks agree, so only durations leave it. A read, safe to repeat.
SELECT
    providers.name AS provider,
    providers.enabled,
    providers.provider_type,
    providers.priority,
    providers.weight,
    providers.context_tokens,
    array_remove(providers.capabilities, NULL) AS capabilities,
    providers.models::text AS models,
    providers.circuit_settings::text AS circuit_settings,
    health.revision,
    health.version,
    health.state,
    health.epoch,
    health.override,
    health.throttle_reset_revision,
    1000 * extract(epoch FROM health.open_until - clock_timestamp())::double precision AS open_ms,
    1000 * extract(epoch FROM health.throttle_until - clock_timestamp())::double precision AS throttle_ms,
    health.rolling_minutes,
    health.rolling_durations,
    clock_timestamp() AS clock
FROM llm_providers AS providers
JOIN llm_provider_health AS health ON health.provider = providers.name
WHERE %(providers)s::text[] IS NULL OR providers.name = ANY (%(providers)s::text[])
ORDER BY providers.name;
