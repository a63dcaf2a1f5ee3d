-- Dismisses open refused events: those of a list, or else all, of a reason. Safe to repeat: only open ones are touched.
UPDATE llm_rejected_events
SET dismissed_at = now()
WHERE is_open
    AND (%(ids)s::bigint[] IS NULL OR rejected_id = ANY (%(ids)s::bigint[]))
    AND (%(reason)s::text IS NULL OR reason = %(reason)s::text)
RETURNING rejected_id;
