-- Whether a provider is registered. Reads only.
SELECT EXISTS (SELECT FROM llm_providers WHERE name = %(name)s);
