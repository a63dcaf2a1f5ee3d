-- Lets the statements of this transaction see one moment. Changes nothing.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
