-- Makes the transaction that has just begun see one snapshot. Safe to repeat: it changes nothing.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
