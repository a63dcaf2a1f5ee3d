-- Refused events, the newest first. Reads only.
SELECT
    rejected_id, entry_id, entry_index, reason, detail, raw_text, raw_bytes, received_at, refusals, last_refused_at,
    edited_text, replayed_at, dismissed_at, is_open
FROM llm_rejected_events
WHERE (%(show_all)s OR is_open)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s::text)
ORDER BY rejected_id DESC
LIMIT %(limit)s;
