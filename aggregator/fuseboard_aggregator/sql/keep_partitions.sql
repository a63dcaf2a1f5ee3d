-- Keeps every partition until the transaction ends: dropping one needs an exclusive lock on the table. Safe to repeat.
-- First in its transaction: a lock takes no snapshot, so the snapshot taken next sees each day whole or not at all.
LOCK TABLE ONLY llm_requests IN ACCESS SHARE MODE;
