-- Inserts the staged batch, adds what was actually inserted to the usage deltas (G1, G3), and returns it by provider and
-- minute for the health rows. Safe to repeat: an event that is already there changes nothing.
-- In order of event_id, so that two consumers given the same events never wait for each other in a circle; of one id
-- twice in a batch the first stays.
WITH inserted AS (
    INSERT INTO llm_requests (
        event_id,
        request_id,
        occurred_at,
        attempt,
        http_status,
        is_fallback,
        provider,
        model,
        requested_model,
        status,
        error_type,
        retry_after_seconds,
        prompt_tokens,
        completion_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        reasoning_tokens,
        total_tokens,
        web_searches,
        usage_source,
        service_tier,
        duration_seconds,
        time_to_first_token_seconds,
        original_provider,
        worker_id,
        circuit_epoch,
        admission,
        lease_id,
        tags,
        metadata,
        reported_cost_usd,
        cost_usd,
        price_id,
        baseline_cost_usd,
        baseline_price_id,
        savings_usd
    )
    SELECT
        event_id,
        request_id,
        to_timestamp(occurred_at_us / 1000000.0::double precision),
        attempt,
        http_status,
        is_fallback,
        provider,
        model,
        requested_model,
        status,
        error_type,
        retry_after_seconds,
        prompt_tokens,
        completion_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        reasoning_tokens,
        total_tokens,
        web_searches,
        usage_source,
        service_tier,
        duration_seconds,
        time_to_first_token_seconds,
        original_provider,
        worker_id,
        circuit_epoch,
        admission,
        lease_id,
        tags,
        metadata,
        reported_cost_usd,
        cost_usd,
        price_id,
        baseline_cost_usd,
        baseline_price_id,
        savings_usd
    FROM staged_requests
    -- what was dropped cannot be found again, so an event of its days may have been counted before
    WHERE to_timestamp(occurred_at_us / 1000000.0::double precision) >= (SELECT raw_retained_from())
    ORDER BY event_id, position
    ON CONFLICT DO NOTHING
    RETURNING
        event_id,
        occurred_at,
        provider,
        model,
        status,
        error_type,
        is_fallback,
        original_provider,
        prompt_tokens,
        completion_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        reasoning_tokens,
        cost_usd,
        price_id,
        baseline_cost_usd,
        savings_usd,
        duration_seconds,
        tags,
        -- once, for the deltas and for the health rows
        duration_bucket(duration_seconds::double precision) AS duration_bucket
),
deltas AS (
    INSERT INTO llm_usage_deltas (
        quarter_start,
        provider,
        model,
        requests,
        successes,
        failures,
        rate_limited,
        cancelled,
        fallbacks,
        unpriced_requests,
        unmetered_requests,
        baseline_unknown_requests,
        prompt_tokens,
        completion_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        reasoning_tokens,
        cost_usd,
        baseline_cost_usd,
        savings_usd,
        duration_seconds_sum,
        duration_seconds_count,
        duration_buckets
    )
    SELECT
        date_bin('15 minutes', occurred_at, '2020-01-01T00:00:00Z'),
        provider,
        model,
        count(*),
        count(*) FILTER (WHERE status = 'success'),
        count(*) FILTER (WHERE status IN ('error', 'timeout', 'rate_limited')),
        count(*) FILTER (WHERE status = 'rate_limited'),
        count(*) FILTER (WHERE status = 'cancelled'),
        count(*) FILTER (WHERE is_fallback),
        count(*) FILTER (WHERE cost_usd IS NULL AND price_id IS NULL),
        count(*) FILTER (WHERE cost_usd IS NULL AND price_id IS NOT NULL),
        count(*) FILTER (WHERE status = 'success' AND baseline_cost_usd IS NULL),
        coalesce(sum(prompt_tokens), 0),
        coalesce(sum(completion_tokens), 0),
        coalesce(sum(cache_read_tokens), 0),
        coalesce(sum(cache_write_tokens), 0),
        coalesce(sum(cache_write_1h_tokens), 0),
        coalesce(sum(reasoning_tokens), 0),
        coalesce(sum(cost_usd), 0),
        coalesce(sum(baseline_cost_usd), 0),
        coalesce(sum(savings_usd), 0),
        coalesce(sum(duration_seconds) FILTER (WHERE status = 'success'), 0),
        count(duration_seconds) FILTER (WHERE status = 'success'),
        coalesce(
            array_agg(duration_bucket) FILTER (WHERE status = 'success' AND duration_bucket IS NOT NULL),
            '{}'
        )
    FROM inserted
    GROUP BY 1, 2, 3
),
fallback_deltas AS (
    INSERT INTO llm_fallback_deltas (quarter_start, original_provider, provider, requests, successes)
    SELECT
        date_bin('15 minutes', occurred_at, '2020-01-01T00:00:00Z'),
        original_provider,
        provider,
        count(*),
        count(*) FILTER (WHERE status = 'success')
    FROM inserted
    WHERE is_fallback
    GROUP BY 1, 2, 3
),
tag_deltas AS (
    INSERT INTO llm_tag_deltas (
        quarter_start,
        tag_key,
        tag_value,
        requests,
        successes,
        unpriced_requests,
        unmetered_requests,
        prompt_tokens,
        completion_tokens,
        cost_usd,
        baseline_cost_usd,
        savings_usd
    )
    SELECT
        date_bin('15 minutes', occurred_at, '2020-01-01T00:00:00Z'),
        tag_key,
        tags ->> tag_key,
        count(*),
        count(*) FILTER (WHERE status = 'success'),
        count(*) FILTER (WHERE cost_usd IS NULL AND price_id IS NULL),
        count(*) FILTER (WHERE cost_usd IS NULL AND price_id IS NOT NULL),
        coalesce(sum(prompt_tokens), 0),
        coalesce(sum(completion_tokens), 0),
        coalesce(sum(cost_usd), 0),
        coalesce(sum(baseline_cost_usd), 0),
        coalesce(sum(savings_usd), 0)
    FROM inserted
    JOIN llm_tag_keys ON tags ? tag_key
    GROUP BY 1, 2, 3
)
SELECT
    provider,
    date_bin('1 minute', occurred_at, '2020-01-01T00:00:00Z') AS minute_start,
    count(*) AS requests,
    count(*) FILTER (WHERE status = 'success') AS successes,
    count(*) FILTER (WHERE status IN ('error', 'timeout', 'rate_limited')) AS failures,
    count(*) FILTER (WHERE status = 'rate_limited') AS rate_limited,
    coalesce(sum(duration_seconds) FILTER (WHERE status = 'success'), 0) AS success_seconds_sum,
    count(duration_seconds) FILTER (WHERE status = 'success') AS success_seconds_count,
    max(occurred_at) FILTER (WHERE status = 'success') AS last_success_at,
    array_agg(error_type) FILTER (WHERE status IN ('error', 'timeout', 'rate_limited')) AS error_types,
    array_agg(occurred_at) FILTER (WHERE status IN ('error', 'timeout', 'rate_limited')) AS failed_at,
    array_agg(duration_bucket) FILTER (WHERE status = 'success' AND duration_bucket IS NOT NULL) AS duration_buckets,
    -- which they were is known when all of them were new
    array_agg(event_id) FILTER (WHERE NOT %(all_new)s::boolean) AS event_ids,
    array_agg(occurred_at) FILTER (WHERE NOT %(all_new)s::boolean) AS event_times
FROM inserted
GROUP BY provider, minute_start;
