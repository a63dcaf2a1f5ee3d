-- Requests of one UTC day, newest ids first, those that match among the next scan_limit: so a page costs the same however
-- many there are. Of those that did not succeed alone where only they are wanted, which an index lists. Reads only.
SELECT
    event_id, request_id, attempt, occurred_at, provider, model, requested_model, status, error_type, http_status,
    prompt_tokens, completion_tokens, cache_read_tokens, duration_seconds, is_fallback, original_provider, worker_id,
    tags, cost_usd, baseline_cost_usd AS hypothetical_claude_cost_usd, savings_usd
FROM (
    SELECT *
    FROM llm_requests
    WHERE occurred_at >= %(from_time)s AND occurred_at < %(to_time)s
        AND (%(before_id)s::uuid IS NULL OR event_id < %(before_id)s::uuid)
        AND (NOT %(only_unsuccessful)s OR status <> 'success')
    ORDER BY event_id DESC
    LIMIT %(scan_limit)s
) AS scanned
WHERE (%(provider)s::text IS NULL OR provider = %(provider)s::text)
    AND (%(statuses)s::text[] IS NULL OR status = ANY(%(statuses)s::text[]))
    AND (%(tags)s::jsonb IS NULL OR tags @> %(tags)s::jsonb)
ORDER BY event_id DESC
LIMIT %(page_limit)s;
