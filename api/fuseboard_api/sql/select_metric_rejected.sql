-- How many refused events wait for somebody, by reason. Reads only.
SELECT reason, count(*) AS events
FROM llm_rejected_events
WHERE replayed_at IS NULL
GROUP BY reason
ORDER BY reason;
