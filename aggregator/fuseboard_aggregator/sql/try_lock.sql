-- Takes an advisory lock until it is given back or the session ends, or says that another session has it.
SELECT pg_try_advisory_lock(hashtext(%(name)s));
