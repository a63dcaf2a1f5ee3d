-- Takes an advisory lock until it is given back or the session ends, waiting for another session that has it.
SELECT pg_advisory_lock(hashtext(%(name)s));
