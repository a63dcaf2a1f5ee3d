-- Deletes the fallbacks of days that are then summed again in the same transaction, under the fold lock.
DELETE FROM llm_fallbacks_daily
WHERE day = ANY(%(days)s);
