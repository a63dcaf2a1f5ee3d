-- Keeps what a refused event was edited to, beside its raw text; it is open again. Safe to repeat: it sets the same.
UPDATE llm_rejected_events
SET edited_text = %(text)s, dismissed_at = NULL
WHERE rejected_id = %(rejected_id)s AND replayed_at IS NULL;
