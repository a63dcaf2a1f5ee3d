-- Keeps one transition of a circuit. Not safe to repeat, on purpose: its key is the provider and the version, so a
-- decision taken twice would fail, with its whole transaction.
INSERT INTO llm_circuit_transitions (
    provider,
    version,
    from_state,
    to_state,
    reason,
    epoch,
    occurred_at,
    cause_event_id,
    open_until,
    actor,
    note,
    calls,
    bad,
    slow
) VALUES (
    %(target)s,
    %(version)s,
    %(from_state)s,
    %(to_state)s,
    %(reason)s,
    %(epoch)s,
    to_timestamp(%(at)s::double precision),
    %(cause_event_id)s::uuid,
    to_timestamp(%(open_until)s::double precision),
    %(actor)s,
    %(note)s,
    %(calls)s,
    %(bad)s,
    %(slow)s
);
