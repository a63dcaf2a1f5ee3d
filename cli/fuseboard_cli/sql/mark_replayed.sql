-- Notes that a refused event was sent again. Safe to repeat: the first time stays.
UPDATE llm_rejected_events
SET replayed_at = coalesce(replayed_at, now())
WHERE rejected_id = %(rejected_id)s;
