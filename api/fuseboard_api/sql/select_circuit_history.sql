-- The last states of one circuit or of all, newest first. Reads only.
SELECT
    provider, occurred_at, from_state, to_state, reason, epoch, version, actor, note, calls, bad, slow,
    cause_event_id, lasted_seconds
FROM llm_circuit_history
WHERE %(provider)s::text IS NULL OR provider = %(provider)s
ORDER BY occurred_at DESC, provider, version DESC, reason = 'open_until_passed' DESC
LIMIT %(limit)s;
