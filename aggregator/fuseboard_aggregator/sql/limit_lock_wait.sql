-- Lets a lock be waited for two seconds at most, until the transaction ends. Safe to repeat.
SELECT set_config('lock_timeout', '2s', true);
