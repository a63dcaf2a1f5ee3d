-- Keeps the cost of a tag no longer. Safe to repeat.
DELETE FROM llm_tag_keys
WHERE tag_key = %(tag_key)s;
