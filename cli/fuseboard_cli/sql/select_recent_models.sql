-- What each model was asked and cost on the last days, today among them, the most expensive first. Reads only.
SELECT provider, model, sum(requests)::bigint AS requests, sum(cost_usd) AS cost_usd
FROM llm_costs_current
WHERE day >= llm_first_day(%(days)s)
GROUP BY provider, model
ORDER BY sum(cost_usd) DESC NULLS LAST, provider, model;
