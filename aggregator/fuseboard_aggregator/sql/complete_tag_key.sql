-- Notes from which day on the sums of a tag are whole. Safe to repeat.
UPDATE llm_tag_keys
SET whole_from = %(whole_from)s
WHERE tag_key = %(tag_key)s;
