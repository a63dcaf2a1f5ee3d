-- All reasons, and that it is the last one which is kept.
COMMENT ON COLUMN llm_rejected_events.reason IS
    'Why it was refused last: not_json, invalid_event, entry_too_large, absurd_time, older_than_retention, conflicting_duplicate, refused_by_database.';
