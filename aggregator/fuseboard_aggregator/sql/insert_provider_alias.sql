-- Adds another name of a registered provider, or lets it mean that one now; whether there is such a provider. Safe to repeat.
INSERT INTO llm_provider_aliases (alias, provider)
SELECT lower(btrim(%(alias)s::text)), name
FROM llm_providers
WHERE name = %(provider)s
ON CONFLICT (alias) DO UPDATE SET provider = excluded.provider
RETURNING provider;
