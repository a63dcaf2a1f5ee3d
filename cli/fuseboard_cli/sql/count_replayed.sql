-- How many events of one replay are stored. Reads only.
SELECT count(*)
FROM llm_requests
WHERE occurred_at BETWEEN %(first)s AND %(last)s
    AND tags ->> 'replay' = %(run)s;
