-- Waits until no batch is being stored, and lets none begin until the transaction ends. Fails with lock_not_available after
-- two seconds, because batches queue behind it. Safe to repeat.
LOCK TABLE llm_tag_deltas IN SHARE ROW EXCLUSIVE MODE;
