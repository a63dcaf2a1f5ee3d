-- The sums of one day, beside its daily usage, that do not say what its raw requests say; by table. Rows of zeros say nothing.
-- Reads only.
WITH raw_fallbacks AS (
    SELECT *
    FROM sum_request_fallbacks(
        %(day)s::date::timestamp AT TIME ZONE %(time_zone)s::text,
        (%(day)s::date + 1)::timestamp AT TIME ZONE %(time_zone)s::text,
        %(time_zone)s::text
    )
),
counted_fallbacks AS (
    SELECT *
    FROM llm_fallbacks_current
    WHERE day = %(day)s::date AND (requests, successes) <> (0, 0)
),
raw_tags AS (
    SELECT *
    FROM sum_request_tags(
        %(day)s::date::timestamp AT TIME ZONE %(time_zone)s::text,
        (%(day)s::date + 1)::timestamp AT TIME ZONE %(time_zone)s::text,
        %(time_zone)s::text,
        ARRAY(SELECT tag_key FROM llm_tag_keys WHERE whole_from IS NOT NULL)
    )
),
counted_tags AS (
    SELECT
        day, tag_key, tag_value, requests, successes, unpriced_requests, unmetered_requests, prompt_tokens,
        completion_tokens, coalesce(cost_usd, 0), baseline_cost_usd, coalesce(savings_usd, 0)
    FROM llm_tag_costs_current
    WHERE day = %(day)s::date
        -- those that are being summed up are whole when that is done
        AND tag_key NOT IN (SELECT tag_key FROM llm_tag_keys WHERE whole_from IS NULL)
        AND (
            requests, successes, unpriced_requests, unmetered_requests, prompt_tokens, completion_tokens, cost_usd,
            baseline_cost_usd, savings_usd
        ) <> (0, 0, 0, 0, 0, 0, 0, 0, 0)
)
SELECT 'llm_fallbacks_daily' AS rollup
WHERE EXISTS (
    (TABLE raw_fallbacks EXCEPT TABLE counted_fallbacks) UNION ALL (TABLE counted_fallbacks EXCEPT TABLE raw_fallbacks)
)
UNION ALL
SELECT 'llm_tag_costs_daily'
WHERE EXISTS ((TABLE raw_tags EXCEPT TABLE counted_tags) UNION ALL (TABLE counted_tags EXCEPT TABLE raw_tags));
