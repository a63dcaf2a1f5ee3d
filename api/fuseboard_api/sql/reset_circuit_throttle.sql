-- Forgets a throttle. Repeated, it starts another epoch and changes nothing else.
SELECT provider, version, from_state, to_state, epoch, occurred_at
FROM llm_reset_circuit_throttle(%(provider)s, %(actor)s, %(reason)s);
