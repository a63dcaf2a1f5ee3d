-- Lets the statements of the transaction take as long as they need. Safe to repeat; ends with the transaction.
SELECT set_config('statement_timeout', '0', true);
