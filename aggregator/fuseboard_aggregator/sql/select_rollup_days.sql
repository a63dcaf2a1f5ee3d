-- The days between two that have sums of fallbacks or tags. Reads only.
SELECT day
FROM llm_fallbacks_daily
WHERE day BETWEEN %(first)s AND %(last)s
UNION
SELECT day
FROM llm_tag_costs_daily
WHERE day BETWEEN %(first)s AND %(last)s;
