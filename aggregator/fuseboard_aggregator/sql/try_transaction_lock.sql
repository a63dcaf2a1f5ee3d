-- Takes an advisory lock until the transaction ends, or says that another session has it. Safe to repeat.
SELECT pg_try_advisory_xact_lock(hashtext(%(name)s));
