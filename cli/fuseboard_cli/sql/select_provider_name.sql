-- The provider that a name means. Reads only.
SELECT llm_provider_name(%(said)s::text);
