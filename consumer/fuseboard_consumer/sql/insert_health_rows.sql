-- Makes the health rows of providers that have none. Safe to repeat: known ones stay.
-- One that was deleted goes on where its history ends: the next transition needs a version of its own.
INSERT INTO llm_provider_health (provider, version, epoch)
SELECT
    name,
    coalesce(max(history.version), 0),
    coalesce(max(history.epoch), 0) + 1
FROM unnest(%(providers)s::text[]) AS name
LEFT JOIN llm_circuit_transitions AS history ON history.provider = name
GROUP BY name
ORDER BY name
ON CONFLICT (provider) DO NOTHING;
