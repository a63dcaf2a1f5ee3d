-- Compare the totals of health with the raw requests.
-- Each side is one of a snapshot; what comes back is on one side only. Only reads.
WITH raw AS (
    SELECT provider, count(*) AS requests, count(*) FILTER (WHERE status = 'success') AS successes
    FROM llm_requests
    GROUP BY 1
), counted AS (
    SELECT provider, total_requests, successful_requests FROM llm_provider_health WHERE total_requests > 0
)
SELECT 'raw' AS side, only_raw.* FROM (TABLE raw EXCEPT ALL TABLE counted) AS only_raw
UNION ALL
SELECT 'counted', only_counted.* FROM (TABLE counted EXCEPT ALL TABLE raw) AS only_counted
