-- Gives an advisory lock of this session back.
SELECT pg_advisory_unlock(hashtext(%(name)s));
