-- Costs by provider over the last days, all days where that is NULL. Reads only.
SELECT * FROM llm_costs_by_provider(%(last_days)s);
