-- Notes that a replay stored refused events. Safe to repeat: the first time stays.
UPDATE llm_rejected_events
SET replayed_at = coalesce(replayed_at, now())
WHERE rejected_id = ANY (%(ids)s::bigint[]);
