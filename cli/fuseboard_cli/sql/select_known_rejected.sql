-- Which of these refused events there are. Reads only.
SELECT rejected_id
FROM llm_rejected_events
WHERE rejected_id = ANY (%(ids)s::bigint[]);
