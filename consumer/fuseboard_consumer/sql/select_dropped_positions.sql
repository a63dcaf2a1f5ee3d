-- Which staged events are of days whose requests have been dropped: they may have been counted before. Reads only.
SELECT position
FROM staged_requests
WHERE to_timestamp(occurred_at_us / 1000000.0::double precision) < raw_retained_from()
ORDER BY position;
