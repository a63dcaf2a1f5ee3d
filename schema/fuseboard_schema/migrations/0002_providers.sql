-- The registry of providers. Workers choose among enabled rows in order of priority.
CREATE TABLE llm_providers (
    name             text PRIMARY KEY CHECK (name <> '' AND length(name) <= 128),
    display_name     text NOT NULL,
    provider_type    text NOT NULL CHECK (provider_type IN ('local', 'remote')),
    -- a lower number is tried first
    priority         integer NOT NULL DEFAULT 100,
    enabled          boolean NOT NULL DEFAULT true,
    -- overrides of the circuit breaker's defaults, by the keys of its specification; {} means all defaults
    circuit_settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(circuit_settings) = 'object'),
    registered_by    text NOT NULL DEFAULT 'operator' CHECK (registered_by IN ('seed', 'operator', 'event')),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE llm_providers IS 'Registry of LLM providers: type, order of choice, circuit settings.';
COMMENT ON COLUMN llm_providers.registered_by IS
    'event: first seen in an event, so remote, disabled for choice and unpriced until an operator says otherwise.';

INSERT INTO llm_providers (name, display_name, provider_type, priority, circuit_settings, registered_by) VALUES
    -- a local model that is being loaded answers late: a timeout counts against it only after half a minute
    ('ollama',  'Ollama',  'local',  10, '{"min_timeout_for_failure_s": 30, "min_reporters": 1}', 'seed'),
    ('localai', 'LocalAI', 'local',  20, '{"min_timeout_for_failure_s": 30, "min_reporters": 1}', 'seed'),
    ('claude',  'Claude',  'remote', 30, '{}', 'seed'),
    ('openai',  'OpenAI',  'remote', 40, '{}', 'seed');
