-- The tags whose cost is kept, by name. Reads only.
SELECT tag_key, whole_from, added_at
FROM llm_tag_keys
ORDER BY tag_key;
