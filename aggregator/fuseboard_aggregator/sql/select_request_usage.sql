-- The daily rows that the raw requests of a range of time make. Reads only.
SELECT *
FROM sum_request_usage(%(since)s, %(until)s, %(time_zone)s);
