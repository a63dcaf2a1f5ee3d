-- Deletes the sums of one tag, folded or not; under the fold lock. Safe to repeat.
WITH pending AS (
    DELETE FROM llm_tag_deltas
    WHERE tag_key = %(tag_key)s
)
DELETE FROM llm_tag_costs_daily
WHERE tag_key = %(tag_key)s;
