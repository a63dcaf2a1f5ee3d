-- Begins to keep the cost of a tag; whether its sums are whole already. Safe to repeat: a key that is there stays as it is.
INSERT INTO llm_tag_keys (tag_key)
VALUES (%(tag_key)s)
ON CONFLICT (tag_key) DO UPDATE SET tag_key = excluded.tag_key
RETURNING whole_from IS NOT NULL AS is_whole;
