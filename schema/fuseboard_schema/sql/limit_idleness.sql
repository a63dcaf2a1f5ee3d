-- Has the server end this session, and give its locks to others, when it does nothing outside of a transaction for so long;
-- returns what the limit was. Safe to repeat.
WITH before AS MATERIALIZED (SELECT current_setting('idle_session_timeout') AS value)
SELECT value, set_config('idle_session_timeout', %(timeout)s, false) FROM before;
