-- Sums the raw requests of a range of time into its hours, which must have been deleted in the same transaction.
INSERT INTO llm_usage_hourly
SELECT *
FROM sum_request_hours(%(since)s, %(until)s);
