-- Removes a provider that has no requests. Safe to repeat: one that is gone stays gone.
SELECT llm_remove_provider(%(name)s);
