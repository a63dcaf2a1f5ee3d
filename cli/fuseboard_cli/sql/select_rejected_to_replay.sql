-- The next refused events by id, or without ids the open ones, of one reason or of every reason but one; in the
-- order in which they came. Reads only.
SELECT rejected_id, entry_id, entry_index, reason, detail, raw_text, raw_bytes, received_at, replayed_at
FROM llm_rejected_events
WHERE rejected_id > %(after_id)s
    AND CASE
        WHEN %(ids)s::bigint[] IS NOT NULL THEN rejected_id = ANY (%(ids)s::bigint[])
        WHEN %(reason)s::text IS NOT NULL THEN is_open AND reason = %(reason)s::text
        ELSE is_open AND reason <> %(unwanted_reason)s::text
    END
ORDER BY rejected_id
LIMIT %(limit)s;
