-- Adds the fallbacks of a range of time to their daily rows, or with sign -1 takes them away; days NULL means all days.
-- Not safe to repeat by itself: rebuild and repair call it under the fold lock, in one transaction that balances it.
INSERT INTO llm_fallbacks_daily AS daily
SELECT day, original_provider, provider, %(sign)s * requests, %(sign)s * successes
FROM sum_request_fallbacks(%(since)s, %(until)s, %(time_zone)s)
WHERE %(days)s::date[] IS NULL OR day = ANY(%(days)s::date[])
ON CONFLICT (day, original_provider, provider) DO UPDATE SET
    requests = daily.requests + excluded.requests,
    successes = daily.successes + excluded.successes;
