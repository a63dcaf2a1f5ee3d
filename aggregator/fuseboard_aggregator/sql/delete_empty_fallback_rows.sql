-- Deletes the daily rows of fallbacks that say nothing, as a change of time zone leaves behind. Safe to repeat.
DELETE FROM llm_fallbacks_daily
WHERE requests = 0 AND successes = 0;
