-- Makes the health rows of providers that have none. Safe to repeat: known ones stay.
INSERT INTO llm_provider_health (provider)
SELECT name
FROM unnest(%(providers)s::text[]) AS name
ORDER BY name
ON CONFLICT (provider) DO NOTHING;
