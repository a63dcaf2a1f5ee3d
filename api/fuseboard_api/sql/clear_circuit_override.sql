-- Ends an override. Repeated, it starts another epoch and changes nothing else.
SELECT provider, version, from_state, to_state, epoch, occurred_at
FROM llm_clear_circuit_override(%(provider)s, %(actor)s, %(reason)s);
