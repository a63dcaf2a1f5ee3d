-- Requests of one UTC day, newest ids first, those that match of the next scan_limit: so a page costs the same however many
-- there are. Of those that did not succeed alone where only they are wanted, which an index lists. A row without an event_id says how far was looked where nothing matched at the end. Reads only.
WITH scanned AS MATERIALIZED (
    SELECT *
    FROM llm_requests
    WHERE occurred_at >= %(from_time)s AND occurred_at < %(to_time)s
        AND (%(before_id)s::uuid IS NULL OR event_id < %(before_id)s::uuid)
        AND (NOT %(only_unsuccessful)s OR status <> 'success')
    ORDER BY event_id DESC
    LIMIT %(scan_limit)s
), reached AS (
    SELECT count(*) AS scanned, (array_agg(event_id ORDER BY event_id))[1] AS last_id FROM scanned
)
SELECT
    reached.scanned, reached.last_id,
    found.event_id, found.request_id, found.attempt, found.occurred_at, found.provider, found.model,
    found.requested_model, found.status, found.error_type, found.http_status, found.prompt_tokens,
    found.completion_tokens, found.cache_read_tokens, found.duration_seconds, found.is_fallback,
    found.original_provider, found.worker_id, found.tags, found.cost_usd,
    found.baseline_cost_usd AS hypothetical_claude_cost_usd, found.savings_usd
FROM reached
LEFT JOIN LATERAL (
    SELECT *
    FROM scanned
    WHERE (%(provider)s::text IS NULL OR provider = %(provider)s::text)
        AND (%(statuses)s::text[] IS NULL OR status = ANY(%(statuses)s::text[]))
        AND (%(tags)s::jsonb IS NULL OR tags @> %(tags)s::jsonb)
    ORDER BY event_id DESC
    LIMIT %(page_limit)s
) AS found ON true
ORDER BY found.event_id DESC;
