-- Deletes the hours of a range of time, which are then summed again in the same transaction, under the fold lock.
DELETE FROM llm_usage_hourly
WHERE hour_start >= %(since)s AND hour_start < %(until)s;
