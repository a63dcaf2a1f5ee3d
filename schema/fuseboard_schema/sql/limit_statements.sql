-- Lets each statement of the session take so long from now on. Safe to repeat.
SELECT set_config('statement_timeout', %(timeout)s, false);
