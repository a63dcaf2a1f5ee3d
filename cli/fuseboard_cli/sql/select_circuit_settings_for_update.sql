-- Locks one provider's row, so that two changes of its circuit settings never lose each other. Reads only.
SELECT circuit_settings FROM llm_providers WHERE name = %(name)s FOR UPDATE;
