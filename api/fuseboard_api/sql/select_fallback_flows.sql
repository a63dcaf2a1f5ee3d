-- Who served requests for whom over the last days, the most first. Reads only.
SELECT original_provider, provider, requests, successes, success_rate
FROM llm_fallback_flows(%(last_days)s)
ORDER BY requests DESC, original_provider, provider;
