-- All circuits in order of choice. Reads only.
SELECT
    provider, display_name, enabled, state, is_throttled, since, reason, actor, note, next_probe_at, throttle_until,
    override, override_by, override_reason, override_until, success_rate, last_error_type, last_failure_at,
    last_success_at
FROM llm_circuits;
