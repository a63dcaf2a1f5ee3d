-- Which staged events differ from the stored request of the same event_id (the first stays). Reads only.
-- A provider that was stored under another of its names is the same. The range of time lets PostgreSQL look into the
-- partitions of the batch only.
SELECT staged.position
FROM staged_requests AS staged
JOIN llm_requests AS stored USING (event_id)
WHERE stored.occurred_at >= %(first_day)s::timestamp AT TIME ZONE 'UTC'
    AND stored.occurred_at < (%(last_day)s::date + 1)::timestamp AT TIME ZONE 'UTC'
    AND (
        stored.occurred_at,
        stored.request_id,
        stored.attempt,
        stored.http_status,
        stored.is_fallback,
        llm_provider_name(stored.provider),
        stored.model,
        stored.requested_model,
        stored.status,
        stored.error_type,
        stored.retry_after_seconds,
        stored.prompt_tokens,
        stored.completion_tokens,
        stored.cache_read_tokens,
        stored.cache_write_tokens,
        stored.cache_write_1h_tokens,
        stored.reasoning_tokens,
        stored.total_tokens,
        stored.web_searches,
        stored.usage_source,
        stored.service_tier,
        stored.duration_seconds,
        stored.time_to_first_token_seconds,
        llm_provider_name(stored.original_provider),
        stored.worker_id,
        stored.circuit_epoch,
        stored.admission,
        stored.lease_id,
        stored.tags,
        stored.metadata,
        stored.reported_cost_usd
    ) IS DISTINCT FROM (
        to_timestamp(staged.occurred_at_us / 1000000.0::double precision),
        staged.request_id,
        staged.attempt,
        staged.http_status,
        staged.is_fallback,
        llm_provider_name(staged.provider),
        staged.model,
        staged.requested_model,
        staged.status,
        staged.error_type,
        staged.retry_after_seconds,
        staged.prompt_tokens,
        staged.completion_tokens,
        staged.cache_read_tokens,
        staged.cache_write_tokens,
        staged.cache_write_1h_tokens,
        staged.reasoning_tokens,
        staged.total_tokens,
        staged.web_searches,
        staged.usage_source,
        staged.service_tier,
        staged.duration_seconds,
        staged.time_to_first_token_seconds,
        llm_provider_name(staged.original_provider),
        staged.worker_id,
        staged.circuit_epoch,
        staged.admission,
        staged.lease_id,
        staged.tags,
        staged.metadata,
        staged.reported_cost_usd
    )
ORDER BY staged.position;
