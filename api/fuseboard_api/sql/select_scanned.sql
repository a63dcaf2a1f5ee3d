-- How many requests of one UTC day a search that found no full page has looked through, and the last of them. Reads only.
SELECT count(*) AS scanned, (array_agg(event_id ORDER BY event_id))[1] AS last_id
FROM (
    SELECT event_id
    FROM llm_requests
    WHERE occurred_at >= %(from_time)s AND occurred_at < %(to_time)s
        AND (%(before_id)s::uuid IS NULL OR event_id < %(before_id)s::uuid)
        AND (NOT %(only_unsuccessful)s OR status <> 'success')
    ORDER BY event_id DESC
    LIMIT %(scan_limit)s
) AS scanned;
