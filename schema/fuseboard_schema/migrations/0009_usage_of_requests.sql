-- What a request adds to each measure, said once. Reconcile, rebuild and reprice read it here; the consumer's insert, which
-- aggregates the rows it returns, says the same, and a test holds the two together.

-- A request as the delta of one request: the columns of llm_usage_deltas, so that both are summed alike.
CREATE VIEW llm_request_usage AS
SELECT
    event_id,
    occurred_at,
    date_bin('15 minutes', occurred_at, '2020-01-01T00:00:00Z') AS quarter_start,
    provider,
    model,
    1 AS requests,
    (status = 'success')::integer AS successes,
    (status IN ('error', 'timeout', 'rate_limited'))::integer AS failures,
    (status = 'rate_limited')::integer AS rate_limited,
    (status = 'cancelled')::integer AS cancelled,
    is_fallback::integer AS fallbacks,
    (cost_usd IS NULL AND price_id IS NULL)::integer AS unpriced_requests,
    (cost_usd IS NULL AND price_id IS NOT NULL)::integer AS unmetered_requests,
    (status = 'success' AND baseline_cost_usd IS NULL)::integer AS baseline_unknown_requests,
    coalesce(prompt_tokens, 0) AS prompt_tokens,
    coalesce(completion_tokens, 0) AS completion_tokens,
    coalesce(cache_read_tokens, 0) AS cache_read_tokens,
    coalesce(cache_write_tokens, 0) AS cache_write_tokens,
    coalesce(cache_write_1h_tokens, 0) AS cache_write_1h_tokens,
    coalesce(reasoning_tokens, 0) AS reasoning_tokens,
    coalesce(cost_usd, 0) AS cost_usd,
    coalesce(baseline_cost_usd, 0) AS baseline_cost_usd,
    coalesce(savings_usd, 0) AS savings_usd,
    CASE WHEN status = 'success' THEN coalesce(duration_seconds, 0) ELSE 0 END AS duration_seconds_sum,
    (status = 'success' AND duration_seconds IS NOT NULL)::integer AS duration_seconds_count,
    CASE
        WHEN status = 'success' AND duration_seconds IS NOT NULL
            THEN ARRAY[duration_bucket(duration_seconds::double precision)]
        ELSE '{}'::smallint[]
    END AS duration_buckets
FROM llm_requests;
COMMENT ON VIEW llm_request_usage IS 'What each request adds to each measure, in the columns of llm_usage_deltas.';

-- Adds `weight` to the histogram's count of each bucket listed; a NULL histogram is all zeros.
CREATE FUNCTION count_buckets(histogram bigint[], buckets smallint[], weight bigint) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    bucket smallint;
BEGIN
    IF histogram IS NULL THEN
        histogram := array_fill(0::bigint, ARRAY[array_length(duration_bucket_bounds(), 1) + 1]);
    END IF;
    FOREACH bucket IN ARRAY buckets LOOP
        histogram[bucket + 1] := histogram[bucket + 1] + weight;
    END LOOP;
    RETURN histogram;
END $$;

-- The histogram of lists of buckets, each list counted `weight` times.
CREATE AGGREGATE make_histogram(buckets smallint[], weight bigint) (
    SFUNC = count_buckets,
    STYPE = bigint[]
);

CREATE FUNCTION add_histograms(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(coalesce(x, 0) + coalesce(y, 0) ORDER BY position)
    FROM unnest(a, b) WITH ORDINALITY AS pair(x, y, position)
$$;

CREATE AGGREGATE sum_histograms(bigint[]) (
    SFUNC = add_histograms,
    STYPE = bigint[]
);

-- The daily rows of the raw requests of [since, until) in a time zone. Summed per bucket first, because counting one
-- request at a time into a histogram costs more than all the sums.
CREATE FUNCTION sum_request_usage(since timestamptz, until timestamptz, time_zone text) RETURNS SETOF llm_costs_daily
LANGUAGE sql STABLE AS $$
    SELECT
        day,
        provider,
        model,
        sum(requests)::bigint,
        sum(successes)::bigint,
        sum(failures)::bigint,
        sum(rate_limited)::bigint,
        sum(cancelled)::bigint,
        sum(fallbacks)::bigint,
        sum(unpriced_requests)::bigint,
        sum(unmetered_requests)::bigint,
        sum(baseline_unknown_requests)::bigint,
        sum(prompt_tokens),
        sum(completion_tokens),
        sum(cache_read_tokens),
        sum(cache_write_tokens),
        sum(cache_write_1h_tokens),
        sum(reasoning_tokens),
        sum(cost_usd),
        sum(baseline_cost_usd),
        sum(savings_usd),
        sum(duration_seconds_sum),
        sum(duration_seconds_count)::bigint,
        make_histogram(duration_buckets, requests),
        now()
    FROM (
        SELECT
            (quarter_start AT TIME ZONE time_zone)::date AS day,
            provider,
            model,
            duration_buckets,
            sum(requests) AS requests,
            sum(successes) AS successes,
            sum(failures) AS failures,
            sum(rate_limited) AS rate_limited,
            sum(cancelled) AS cancelled,
            sum(fallbacks) AS fallbacks,
            sum(unpriced_requests) AS unpriced_requests,
            sum(unmetered_requests) AS unmetered_requests,
            sum(baseline_unknown_requests) AS baseline_unknown_requests,
            sum(prompt_tokens) AS prompt_tokens,
            sum(completion_tokens) AS completion_tokens,
            sum(cache_read_tokens) AS cache_read_tokens,
            sum(cache_write_tokens) AS cache_write_tokens,
            sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
            sum(reasoning_tokens) AS reasoning_tokens,
            sum(cost_usd) AS cost_usd,
            sum(baseline_cost_usd) AS baseline_cost_usd,
            sum(savings_usd) AS savings_usd,
            sum(duration_seconds_sum) AS duration_seconds_sum,
            sum(duration_seconds_count) AS duration_seconds_count
        FROM llm_request_usage
        WHERE occurred_at >= since AND occurred_at < until
        GROUP BY 1, 2, 3, 4
    ) AS per_bucket
    GROUP BY day, provider, model
$$;
COMMENT ON FUNCTION sum_request_usage IS 'The daily rows that the raw requests of [since, until) make in a time zone.';

-- The deltas that are not folded yet, as the daily rows they will be added to.
CREATE VIEW llm_costs_pending AS
SELECT
    (quarter_start AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone'))::date AS day,
    provider,
    model,
    sum(requests)::bigint AS requests,
    sum(successes)::bigint AS successes,
    sum(failures)::bigint AS failures,
    sum(rate_limited)::bigint AS rate_limited,
    sum(cancelled)::bigint AS cancelled,
    sum(fallbacks)::bigint AS fallbacks,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    sum(unmetered_requests)::bigint AS unmetered_requests,
    sum(baseline_unknown_requests)::bigint AS baseline_unknown_requests,
    sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(cache_write_tokens) AS cache_write_tokens,
    sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    sum(cost_usd) AS cost_usd,
    sum(baseline_cost_usd) AS baseline_cost_usd,
    sum(savings_usd) AS savings_usd,
    sum(duration_seconds_sum) AS duration_seconds_sum,
    sum(duration_seconds_count)::bigint AS duration_seconds_count,
    make_histogram(duration_buckets, 1) AS duration_histogram,
    now() AS updated_at
FROM llm_usage_deltas
GROUP BY 1, 2, 3;
COMMENT ON VIEW llm_costs_pending IS 'llm_usage_deltas by day, provider and model: what the next fold adds to llm_costs_daily.';

-- What a reader that must be current asks: daily rows and what is pending, together.
CREATE VIEW llm_costs_current AS
SELECT
    day,
    provider,
    model,
    sum(requests)::bigint AS requests,
    sum(successes)::bigint AS successes,
    sum(failures)::bigint AS failures,
    sum(rate_limited)::bigint AS rate_limited,
    sum(cancelled)::bigint AS cancelled,
    sum(fallbacks)::bigint AS fallbacks,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    sum(unmetered_requests)::bigint AS unmetered_requests,
    sum(baseline_unknown_requests)::bigint AS baseline_unknown_requests,
    sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(cache_write_tokens) AS cache_write_tokens,
    sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    sum(cost_usd) AS cost_usd,
    sum(baseline_cost_usd) AS baseline_cost_usd,
    sum(savings_usd) AS savings_usd,
    sum(duration_seconds_sum) AS duration_seconds_sum,
    sum(duration_seconds_count)::bigint AS duration_seconds_count,
    sum_histograms(duration_histogram) AS duration_histogram,
    max(updated_at) AS updated_at
FROM (
    SELECT * FROM llm_costs_daily
    UNION ALL
    SELECT * FROM llm_costs_pending
) AS daily_and_pending
GROUP BY day, provider, model;
COMMENT ON VIEW llm_costs_current IS 'llm_costs_daily with what is not folded yet: exact at every moment.';
