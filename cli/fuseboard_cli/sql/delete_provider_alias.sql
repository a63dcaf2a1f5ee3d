-- Removes another name of a provider. Safe to repeat.
DELETE FROM llm_provider_aliases
WHERE alias = lower(btrim(%(alias)s::text))
RETURNING provider;
