-- All providers with their health, in order of choice. Reads only.
SELECT * FROM llm_provider_status ORDER BY priority, name;
