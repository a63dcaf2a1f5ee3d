-- What could not be accepted, with its reason. The key is the place in the stream, so a redelivery adds nothing.
CREATE TABLE llm_rejected_events (
    rejected_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id      text NOT NULL,
    -- place in the entry; -1 when the whole entry was refused
    entry_index   integer NOT NULL,
    reason        text NOT NULL,
    detail        text NOT NULL,
    raw_text      text NOT NULL,
    -- size before raw_text was cut to its bound; larger than raw_text means that it was cut
    raw_bytes     bigint NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT now(),
    replayed_at   timestamptz,
    UNIQUE (entry_id, entry_index)
);
CREATE INDEX llm_rejected_events_open ON llm_rejected_events (received_at) WHERE replayed_at IS NULL;
COMMENT ON TABLE llm_rejected_events IS 'Events that were refused, raw and with the reason. `fuseboard rejected replay` sends them again.';
COMMENT ON COLUMN llm_rejected_events.reason IS 'not_json, invalid_event, entry_too_large, absurd_time, conflicting_duplicate, refused_by_database.';
