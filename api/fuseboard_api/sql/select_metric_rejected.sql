-- How many refused events wait for somebody, by reason. Reads only.
SELECT reason, count(*) AS events
FROM llm_rejected_events
WHERE is_open
GROUP BY reason
ORDER BY reason;
