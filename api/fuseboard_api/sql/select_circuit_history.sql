-- The last states of one circuit or of all, newest first: of one, among its last transitions, of which each makes a state or
-- two. Reads only.
SELECT
    provider, occurred_at, from_state, to_state, reason, epoch, version, actor, note, calls, bad, slow,
    cause_event_id, lasted_seconds
FROM llm_circuit_history
WHERE %(provider)s::text IS NULL
    OR (
        provider = %(provider)s
        AND version > coalesce(
            (
                SELECT version
                FROM llm_circuit_transitions
                WHERE provider = %(provider)s
                ORDER BY version DESC
                OFFSET %(limit)s
                LIMIT 1
            ),
            0
        )
    )
ORDER BY occurred_at DESC, provider, version DESC, reason = 'open_until_passed' DESC
LIMIT %(limit)s;
