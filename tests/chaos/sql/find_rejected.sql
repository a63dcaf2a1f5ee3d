-- Find events that were rejected: none that is made here is wrong. Only reads.
SELECT reason, detail, left(raw_text, 200) AS raw_text FROM llm_rejected_events
