-- The highest number of a refused event, which bounds a replay: what is refused meanwhile is not part of it. Reads only.
SELECT max(rejected_id) FROM llm_rejected_events;
