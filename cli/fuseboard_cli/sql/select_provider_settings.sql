-- What operators wrote as JSON about each provider, in order of choice. Reads only.
SELECT name, circuit_settings, models FROM llm_providers ORDER BY priority, name;
