-- Deletes a chunk of the refused events that came before a time, the oldest first. Safe to repeat: until none is left.
DELETE FROM llm_rejected_events
WHERE rejected_id IN (
    SELECT rejected_id
    FROM llm_rejected_events
    WHERE received_at < %(before)s
    ORDER BY received_at
    LIMIT %(limit)s
);
