-- Refused events before a cursor, the newest first. Reads only.
SELECT rejected_id, reason, detail, raw_text, raw_bytes, received_at, replayed_at, dismissed_at, refusals
FROM llm_rejected_events
WHERE (%(before_id)s::bigint IS NULL OR rejected_id < %(before_id)s::bigint)
    AND (%(show_all)s OR is_open)
ORDER BY rejected_id DESC
LIMIT %(limit)s;
