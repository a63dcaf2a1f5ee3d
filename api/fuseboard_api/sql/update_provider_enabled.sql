-- Lets workers choose a provider, or keeps them from it. Safe to repeat.
UPDATE llm_providers SET enabled = %(enabled)s, updated_at = now() WHERE name = %(name)s RETURNING name;
