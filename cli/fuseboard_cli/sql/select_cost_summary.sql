-- The cost summary over the last days, of all days where that is NULL. Reads only.
SELECT * FROM llm_cost_summary(%(last_days)s);
