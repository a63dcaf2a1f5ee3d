-- All aliases with what they mean, and all registered names with NULL. Reads only.
SELECT alias, provider
FROM llm_provider_aliases
UNION ALL
SELECT name, NULL
FROM llm_providers;
