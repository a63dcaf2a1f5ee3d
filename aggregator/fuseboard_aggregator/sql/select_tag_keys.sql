-- The tags whose cost is kept, and since which day it is whole. Reads only.
SELECT tag_key, whole_from, added_at
FROM llm_tag_keys
ORDER BY tag_key;
