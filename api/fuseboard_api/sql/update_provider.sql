-- Changes whether a provider is chosen, or its place in the order; NULL leaves as it is. Safe to repeat.
UPDATE llm_providers
SET
    enabled = coalesce(%(enabled)s, enabled),
    priority = coalesce(%(priority)s, priority),
    updated_at = now()
WHERE name = %(name)s
RETURNING name;
