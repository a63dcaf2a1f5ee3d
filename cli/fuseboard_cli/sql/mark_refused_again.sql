-- Notes why replays were in vain: one refusal more of the same row. A repetition counts one more, as each replay does.
UPDATE llm_rejected_events AS events
SET reason = again.reason, detail = again.detail, refusals = events.refusals + 1, last_refused_at = now()
FROM unnest(%(ids)s::bigint[], %(reasons)s::text[], %(details)s::text[]) AS again (rejected_id, reason, detail)
WHERE events.rejected_id = again.rejected_id AND events.replayed_at IS NULL;
