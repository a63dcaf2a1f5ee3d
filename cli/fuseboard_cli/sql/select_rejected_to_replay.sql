-- The next refused events by id, up to a last one: those of a list, or else the open ones, of one reason or of every
-- reason but some; in the order in which they came. Reads only.
SELECT
    rejected_id, entry_id, entry_index, reason, detail, raw_text, raw_bytes, received_at, refusals, last_refused_at,
    edited_text, replayed_at, dismissed_at, is_open
FROM llm_rejected_events
WHERE rejected_id > %(after_id)s
    AND (%(last_id)s::bigint IS NULL OR rejected_id <= %(last_id)s::bigint)
    AND CASE
        WHEN %(ids)s::bigint[] IS NOT NULL THEN rejected_id = ANY (%(ids)s::bigint[])
        ELSE is_open
            AND (%(reason)s::text IS NULL OR reason = %(reason)s::text)
            AND (edited_text IS NOT NULL OR reason <> ALL (%(unwanted_reasons)s::text[]))
    END
ORDER BY rejected_id
LIMIT %(limit)s;
