-- What a half-open circuit waits for: the settings of its provider and the probes that were good so far. Reads only.
SELECT
    circuits.provider,
    circuits.epoch,
    providers.circuit_settings::text AS circuit_settings,
    coalesce((health.circuit_window ->> 'good_probes')::integer, 0) AS good_probes
FROM llm_circuits AS circuits
JOIN llm_providers AS providers ON providers.name = circuits.provider
JOIN llm_provider_health AS health ON health.provider = circuits.provider
WHERE circuits.state = 'half_open';
