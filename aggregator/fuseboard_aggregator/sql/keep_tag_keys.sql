-- Keeps the tags whose cost is summed up as they are until the transaction ends, as a batch that is being stored does: whoever
-- changes them waits for it. Before the transaction's snapshot, which then has them. Safe to repeat.
LOCK TABLE llm_tag_deltas IN ROW EXCLUSIVE MODE;
