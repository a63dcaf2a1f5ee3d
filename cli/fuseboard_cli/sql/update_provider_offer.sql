-- Changes what a provider offers; NULL leaves as it is, what is named as cleared becomes not known. Safe to repeat.
UPDATE llm_providers
SET
    weight = CASE WHEN 'weight' = ANY (%(cleared)s::text[]) THEN NULL ELSE coalesce(%(weight)s, weight) END,
    context_tokens = CASE
        WHEN 'context-tokens' = ANY (%(cleared)s::text[]) THEN NULL
        ELSE coalesce(%(context_tokens)s, context_tokens)
    END,
    capabilities = CASE
        WHEN 'capabilities' = ANY (%(cleared)s::text[]) THEN '{}'
        ELSE coalesce(%(capabilities)s::text[], capabilities)
    END,
    models = CASE
        WHEN 'models' = ANY (%(cleared)s::text[]) THEN '{}'
        ELSE coalesce(%(models)s::jsonb, models)
    END,
    updated_at = now()
WHERE name = %(name)s
RETURNING name;
