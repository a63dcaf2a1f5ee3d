-- All other names of providers. Reads only.
SELECT alias, provider, created_at
FROM llm_provider_aliases
ORDER BY provider, alias;
