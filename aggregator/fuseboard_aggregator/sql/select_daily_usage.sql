-- The daily rows of (after, through]. Reads only.
SELECT *
FROM llm_costs_daily
WHERE day > %(after)s AND day <= %(through)s;
