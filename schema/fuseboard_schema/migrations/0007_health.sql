-- One row per provider: totals and rolling figures, written in the transaction that writes the requests.
CREATE TABLE llm_provider_health (
    provider                 text PRIMARY KEY,
    total_requests           bigint NOT NULL DEFAULT 0,
    successful_requests      bigint NOT NULL DEFAULT 0,
    failed_requests          bigint NOT NULL DEFAULT 0,
    -- failures since the last success, in order of event time as far as it has arrived
    failure_count            bigint NOT NULL DEFAULT 0,
    last_success_at          timestamptz,
    last_failure_at          timestamptz,
    last_error_type          text,
    -- the last ten minutes that had traffic: {"minute as epoch seconds": [requests, successes, success microseconds, timed successes]}
    rolling_minutes          jsonb NOT NULL DEFAULT '{}',
    rolling_success_rate     numeric,
    rolling_avg_response_seconds numeric,
    state                    text NOT NULL DEFAULT 'closed' CHECK (state IN ('closed', 'open')),
    epoch                    integer NOT NULL DEFAULT 1,
    epoch_started_at         timestamptz NOT NULL DEFAULT now(),
    version                  integer NOT NULL DEFAULT 0,
    revision                 bigint NOT NULL DEFAULT 0,
    open_until               timestamptz,
    updated_at               timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE llm_provider_health IS 'Health of each provider from real traffic. One row each, locked in order of name.';

INSERT INTO llm_provider_health (provider) SELECT name FROM llm_providers;

-- Every change of a circuit's state. Append only.
CREATE TABLE llm_circuit_transitions (
    provider       text NOT NULL,
    version        integer NOT NULL,
    from_state     text NOT NULL,
    to_state       text NOT NULL,
    reason         text NOT NULL,
    epoch          integer NOT NULL,
    occurred_at    timestamptz NOT NULL,
    cause_event_id uuid,
    PRIMARY KEY (provider, version)
);
COMMENT ON TABLE llm_circuit_transitions IS 'Every change of a circuit: from, to, why, when, and the event that caused it.';
