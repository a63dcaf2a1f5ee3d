-- Replaces a provider's circuit settings; consumers and workers take them up at once. Safe to repeat.
UPDATE llm_providers SET circuit_settings = %(circuit_settings)s, updated_at = now() WHERE name = %(name)s;
