-- Deletes the costs by tag of days that are then summed again in the same transaction, under the fold lock.
DELETE FROM llm_tag_costs_daily
WHERE day = ANY(%(days)s);
