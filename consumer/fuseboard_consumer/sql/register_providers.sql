-- Registers providers first seen in an event: remote, disabled for choice, unpriced. Safe to repeat: known ones stay.
INSERT INTO llm_providers (name, display_name, provider_type, priority, enabled, registered_by)
SELECT name, name, 'remote', 1000, false, 'event'
FROM unnest(%(providers)s::text[]) AS name
ORDER BY name
ON CONFLICT (name) DO NOTHING;
