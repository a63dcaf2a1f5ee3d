-- Drops the partition of a UTC day and moves raw_retained_from behind it, both or neither. Safe to repeat.
SELECT drop_request_partition(%(day)s);
