-- Compare fallbacks by day, folded and pending, with the raw requests.
-- Each side is one of a snapshot; what comes back is on one side only. Only reads.
WITH raw AS (
    SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, original_provider, provider, count(*)::numeric AS requests
    FROM llm_requests
    WHERE is_fallback
    GROUP BY 1, 2, 3
), counted AS (
    SELECT day, original_provider, provider, sum(requests) FROM llm_fallbacks_current GROUP BY 1, 2, 3
)
SELECT 'raw' AS side, only_raw.* FROM (TABLE raw EXCEPT ALL TABLE counted) AS only_raw
UNION ALL
SELECT 'counted', only_counted.* FROM (TABLE counted EXCEPT ALL TABLE raw) AS only_counted
