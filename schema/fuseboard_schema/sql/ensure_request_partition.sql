-- Makes the partition of a UTC day if it is missing; false if it was there. Safe to repeat and to run twice at once.
SELECT ensure_request_partition(%(day)s);
