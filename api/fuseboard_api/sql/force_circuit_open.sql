-- Forces a circuit open, for a time or until it is cleared. Repeated, it starts another epoch and changes nothing else.
SELECT provider, version, from_state, to_state, epoch, occurred_at
FROM llm_force_circuit_open(
    %(provider)s,
    %(actor)s,
    %(reason)s,
    coalesce(%(until)s::timestamptz, clock_timestamp() + %(lasting)s::interval)
);
