-- What the circuit breaker keeps beside state, epoch and version; all of it is written in the transaction of a batch, or
-- by an operator's order.
ALTER TABLE llm_provider_health
    -- how often it was open in a row, which makes each time longer
    ADD COLUMN open_streak integer NOT NULL DEFAULT 0,
    -- the provider asked to be left alone until then
    ADD COLUMN throttle_until timestamptz,
    ADD COLUMN throttle_streak integer NOT NULL DEFAULT 0,
    -- at this revision an operator forgot the throttle, so that older deadlines in Redis do not hold any more
    ADD COLUMN throttle_reset_revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN override text CHECK (override IN ('forced_open', 'disabled')),
    ADD COLUMN override_by text,
    ADD COLUMN override_reason text,
    ADD COLUMN override_until timestamptz,
    -- the calls of this epoch that the rules need, of bounded size: consumer/fuseboard_consumer/circuit_window.py
    ADD COLUMN circuit_window jsonb NOT NULL DEFAULT '{}',
    -- successes of the same ten minutes by duration: {"minute as epoch seconds": {"bucket of duration_bucket()": count}}
    ADD COLUMN rolling_durations jsonb NOT NULL DEFAULT '{}',
    ADD CHECK ((override IS NULL) = (override_by IS NULL)),
    ADD CHECK (override IS NOT NULL OR override_until IS NULL);
COMMENT ON COLUMN llm_provider_health.state IS
    'closed or open as decided; half_open is open whose open_until has passed, and an override stands above both: see llm_circuits.';
COMMENT ON COLUMN llm_provider_health.epoch IS
    'One more each time the circuit opens, closes or is changed by an operator; events of other epochs decide nothing.';
COMMENT ON COLUMN llm_provider_health.version IS 'One more per transition: the version of its row in llm_circuit_transitions.';
COMMENT ON COLUMN llm_provider_health.revision IS
    'One more per committed change of this row or of the provider''s settings; Redis takes no older one after a newer.';

ALTER TABLE llm_circuit_transitions
    -- the deadline that an opening set; from then on it was half-open
    ADD COLUMN open_until timestamptz,
    ADD COLUMN actor text,
    ADD COLUMN note text,
    -- what the window held: calls, failures and slow calls
    ADD COLUMN calls bigint NOT NULL DEFAULT 0,
    ADD COLUMN bad bigint NOT NULL DEFAULT 0,
    ADD COLUMN slow bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN llm_circuit_transitions.occurred_at IS 'The database''s clock at the decision.';
COMMENT ON COLUMN llm_circuit_transitions.actor IS 'Who ordered it; NULL: the rules did.';

-- What workers may ask a provider for; NULL and empty: not known, which excludes nothing.
ALTER TABLE llm_providers
    -- the share of calls among providers of one priority
    ADD COLUMN weight double precision CHECK (weight >= 0 AND weight < 'infinity'),
    ADD COLUMN context_tokens bigint CHECK (context_tokens > 0),
    ADD COLUMN capabilities text[] NOT NULL DEFAULT '{}',
    -- {"requested model": {"model": "its name there", "context_tokens": 200000, "capabilities": ["tools"]}}; {}: any model
    ADD COLUMN models jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(models) = 'object');
COMMENT ON COLUMN llm_providers.models IS
    'Models that may be requested of the provider, each with its own name, context and capabilities there; {}: any model.';
