-- Keeps refused events with their reason (G5). Safe to repeat: the place in the stream is the key.
INSERT INTO llm_rejected_events (entry_id, entry_index, reason, detail, raw_text, raw_bytes)
SELECT *
FROM unnest(
    %(entry_ids)s::text[],
    %(entry_indexes)s::integer[],
    %(reasons)s::text[],
    %(details)s::text[],
    %(raw_texts)s::text[],
    %(raw_bytes)s::bigint[]
)
ON CONFLICT (entry_id, entry_index) DO NOTHING;
