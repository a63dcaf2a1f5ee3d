-- What is not folded yet, by day. Reads only.
SELECT *
FROM llm_costs_pending;
