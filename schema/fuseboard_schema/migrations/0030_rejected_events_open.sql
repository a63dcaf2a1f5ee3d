-- A refused event stays one row whatever becomes of it: refused again by a replay, edited, replayed, dismissed.
ALTER TABLE llm_rejected_events
    ADD COLUMN refusals        integer NOT NULL DEFAULT 1,
    ADD COLUMN last_refused_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN edited_text     text,
    ADD COLUMN dismissed_at    timestamptz,
    ADD COLUMN is_open         boolean NOT NULL GENERATED ALWAYS AS (replayed_at IS NULL AND dismissed_at IS NULL) STORED;
UPDATE llm_rejected_events SET last_refused_at = received_at;

-- pages and replays go by number
DROP INDEX llm_rejected_events_open;
CREATE INDEX llm_rejected_events_open ON llm_rejected_events (rejected_id) WHERE is_open;
-- the daily expiry
CREATE INDEX llm_rejected_events_received ON llm_rejected_events (received_at);

COMMENT ON TABLE llm_rejected_events IS 'Events that were refused, raw and with the reason. `fuseboard rejected` replays, edits and dismisses them; they expire after FUSEBOARD_REJECTED_RETENTION_DAYS.';
COMMENT ON COLUMN llm_rejected_events.rejected_id IS 'Number, for `fuseboard rejected`.';
COMMENT ON COLUMN llm_rejected_events.reason IS 'Why it was refused last: not_json, invalid_event, entry_too_large, absurd_time, conflicting_duplicate, refused_by_database.';
COMMENT ON COLUMN llm_rejected_events.received_at IS 'When it was refused first.';
COMMENT ON COLUMN llm_rejected_events.replayed_at IS 'When a replay stored it; NULL: none did.';
COMMENT ON COLUMN llm_rejected_events.refusals IS 'How often it was refused: once when it came, and once for each replay in vain.';
COMMENT ON COLUMN llm_rejected_events.last_refused_at IS 'When it was refused last.';
COMMENT ON COLUMN llm_rejected_events.edited_text IS 'What `fuseboard rejected edit` made of raw_text, which a replay takes instead; NULL: not edited.';
COMMENT ON COLUMN llm_rejected_events.dismissed_at IS 'When somebody dismissed it as not worth a replay; NULL: nobody did.';
COMMENT ON COLUMN llm_rejected_events.is_open IS 'Neither stored by a replay nor dismissed: it waits for somebody.';
