-- Makes this session the one that sweeps, until it ends; or says that another session is.
SELECT pg_try_advisory_lock(hashtext('fuseboard.sweeper'));
