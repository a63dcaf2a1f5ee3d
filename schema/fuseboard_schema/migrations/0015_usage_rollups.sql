-- Two more sums that are kept up to date from the same events as the daily rows: usage by hour, and who fell back to whom.
-- Both are exact (G3): what is folded and what is pending are together what the raw requests say.

-- years of raw requests may have to be summed up once
SELECT set_config('statement_timeout', '0', true);
-- no fold between the sums below and the commit; consumers go on
SELECT pg_advisory_xact_lock(hashtext('fuseboard.fold'));

-- UTC hours, filled by the fold from llm_usage_deltas. Without histograms: those would make the table as large again
-- each day as the daily one.
CREATE TABLE llm_usage_hourly (
    hour_start             timestamptz NOT NULL,
    provider               text NOT NULL,
    requests               bigint NOT NULL,
    successes              bigint NOT NULL,
    failures               bigint NOT NULL,
    rate_limited           bigint NOT NULL,
    cancelled              bigint NOT NULL,
    fallbacks              bigint NOT NULL,
    unpriced_requests      bigint NOT NULL,
    prompt_tokens          numeric NOT NULL,
    completion_tokens      numeric NOT NULL,
    cost_usd               numeric NOT NULL,
    baseline_cost_usd      numeric NOT NULL,
    savings_usd            numeric NOT NULL,
    duration_seconds_sum   numeric NOT NULL,
    duration_seconds_count bigint NOT NULL,
    PRIMARY KEY (hour_start, provider)
);
COMMENT ON TABLE llm_usage_hourly IS 'Usage per UTC hour and provider as of the last fold. Kept as long as the raw requests of the hour.';

CREATE FUNCTION name_hour(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT date_bin('1 hour', at, '2020-01-01T00:00:00Z') $$;
COMMENT ON FUNCTION name_hour IS 'The UTC hour that a time lies in, whatever the session''s time zone is.';

CREATE FUNCTION sum_request_hours(since timestamptz, until timestamptz) RETURNS SETOF llm_usage_hourly
LANGUAGE sql STABLE AS $$
    SELECT
        name_hour(quarter_start) AS hour_start,
        provider,
        sum(requests)::bigint,
        sum(successes)::bigint,
        sum(failures)::bigint,
        sum(rate_limited)::bigint,
        sum(cancelled)::bigint,
        sum(fallbacks)::bigint,
        sum(unpriced_requests)::bigint,
        sum(prompt_tokens),
        sum(completion_tokens),
        sum(cost_usd),
        sum(baseline_cost_usd),
        sum(savings_usd),
        sum(duration_seconds_sum),
        sum(duration_seconds_count)::bigint
    FROM llm_request_usage
    WHERE occurred_at >= since AND occurred_at < until
    GROUP BY 1, 2
$$;
COMMENT ON FUNCTION sum_request_hours IS 'The hourly rows that the raw requests of [since, until) make; both must be whole hours.';

CREATE VIEW llm_usage_hourly_pending AS
SELECT
    name_hour(quarter_start) AS hour_start,
    provider,
    sum(requests)::bigint AS requests,
    sum(successes)::bigint AS successes,
    sum(failures)::bigint AS failures,
    sum(rate_limited)::bigint AS rate_limited,
    sum(cancelled)::bigint AS cancelled,
    sum(fallbacks)::bigint AS fallbacks,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cost_usd) AS cost_usd,
    sum(baseline_cost_usd) AS baseline_cost_usd,
    sum(savings_usd) AS savings_usd,
    sum(duration_seconds_sum) AS duration_seconds_sum,
    sum(duration_seconds_count)::bigint AS duration_seconds_count
FROM llm_usage_deltas
GROUP BY 1, 2;
COMMENT ON VIEW llm_usage_hourly_pending IS 'llm_usage_deltas by hour and provider: what the next fold adds to llm_usage_hourly.';

-- what has been folded so far: the raw requests without what is still pending, in one snapshot
INSERT INTO llm_usage_hourly
SELECT
    hour_start,
    provider,
    sum(requests),
    sum(successes),
    sum(failures),
    sum(rate_limited),
    sum(cancelled),
    sum(fallbacks),
    sum(unpriced_requests),
    sum(prompt_tokens),
    sum(completion_tokens),
    sum(cost_usd),
    sum(baseline_cost_usd),
    sum(savings_usd),
    sum(duration_seconds_sum),
    sum(duration_seconds_count)
FROM (
    SELECT * FROM sum_request_hours('-infinity', 'infinity')
    UNION ALL
    SELECT
        hour_start, provider, -requests, -successes, -failures, -rate_limited, -cancelled, -fallbacks, -unpriced_requests,
        -prompt_tokens, -completion_tokens, -cost_usd, -baseline_cost_usd, -savings_usd, -duration_seconds_sum,
        -duration_seconds_count
    FROM llm_usage_hourly_pending
) AS folded
GROUP BY hour_start, provider;

CREATE VIEW llm_usage_hourly_current AS
SELECT
    hour_start,
    provider,
    sum(requests)::bigint AS requests,
    sum(successes)::bigint AS successes,
    sum(failures)::bigint AS failures,
    sum(rate_limited)::bigint AS rate_limited,
    sum(cancelled)::bigint AS cancelled,
    sum(fallbacks)::bigint AS fallbacks,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cost_usd) AS cost_usd,
    sum(baseline_cost_usd) AS baseline_cost_usd,
    sum(savings_usd) AS savings_usd,
    sum(duration_seconds_sum) AS duration_seconds_sum,
    sum(duration_seconds_count)::bigint AS duration_seconds_count
FROM (
    SELECT * FROM llm_usage_hourly
    UNION ALL
    SELECT * FROM llm_usage_hourly_pending
) AS hourly_and_pending
GROUP BY hour_start, provider;
COMMENT ON VIEW llm_usage_hourly_current IS 'llm_usage_hourly with what is not folded yet: exact at every moment.';

CREATE FUNCTION llm_hourly_trends(last_hours integer DEFAULT 24) RETURNS TABLE (
    hour_start                   timestamptz,
    provider                     text,
    requests                     bigint,
    successes                    bigint,
    failures                     bigint,
    success_rate                 double precision,
    avg_response_time_ms         double precision,
    prompt_tokens                numeric,
    completion_tokens            numeric,
    total_tokens                 numeric,
    cost_usd                     numeric,
    hypothetical_claude_cost_usd numeric,
    savings_usd                  numeric
)
LANGUAGE sql STABLE AS $$
    SELECT
        hour_start,
        provider,
        requests,
        successes,
        failures,
        round(100.0 * successes / requests, 2)::double precision,
        round(1000 * duration_seconds_sum / nullif(duration_seconds_count, 0), 1)::double precision,
        prompt_tokens,
        completion_tokens,
        prompt_tokens + completion_tokens,
        cost_usd,
        baseline_cost_usd,
        savings_usd
    FROM llm_usage_hourly_current
    WHERE hour_start > name_hour(now()) - last_hours * interval '1 hour'
        -- of a day whose raw requests are gone only what came late would be left
        AND hour_start >= (SELECT value::timestamptz FROM fuseboard_settings WHERE name = 'raw_retained_from')
        AND requests > 0
    ORDER BY hour_start, provider
$$;
COMMENT ON FUNCTION llm_hourly_trends IS
    'Requests, tokens and cost per UTC hour and provider over the last hours, this one among them; an hour without requests has no row. Goes back as far as raw requests are kept.';

-- What one batch added, append only; the aggregator folds and deletes. Only fallbacks make rows, so that the others cost nothing.
CREATE TABLE llm_fallback_deltas (
    delta_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    quarter_start     timestamptz NOT NULL,
    original_provider text,
    provider          text NOT NULL,
    requests          bigint NOT NULL,
    successes         bigint NOT NULL
);
COMMENT ON TABLE llm_fallback_deltas IS 'Not yet folded fallbacks.';

CREATE TABLE llm_fallbacks_daily (
    day               date NOT NULL,
    original_provider text,
    provider          text NOT NULL,
    requests          bigint NOT NULL,
    successes         bigint NOT NULL,
    UNIQUE NULLS NOT DISTINCT (day, original_provider, provider)
);
COMMENT ON TABLE llm_fallbacks_daily IS 'Who fell back to whom, per day, as of the last fold. Kept for good.';
COMMENT ON COLUMN llm_fallbacks_daily.day IS 'A day of the zone fuseboard_settings.day_time_zone.';
COMMENT ON COLUMN llm_fallbacks_daily.original_provider IS 'Who should have served it; NULL: the worker did not say.';

CREATE FUNCTION sum_request_fallbacks(since timestamptz, until timestamptz, time_zone text) RETURNS SETOF llm_fallbacks_daily
LANGUAGE sql STABLE AS $$
    SELECT
        (occurred_at AT TIME ZONE time_zone)::date,
        original_provider,
        provider,
        count(*),
        count(*) FILTER (WHERE status = 'success')
    FROM llm_requests
    WHERE is_fallback AND occurred_at >= since AND occurred_at < until
    GROUP BY 1, 2, 3
$$;
COMMENT ON FUNCTION sum_request_fallbacks IS 'The rows of llm_fallbacks_daily that the raw requests of [since, until) make in a time zone.';

INSERT INTO llm_fallbacks_daily
SELECT fallbacks.*
FROM fuseboard_settings AS zone, sum_request_fallbacks('-infinity', 'infinity', zone.value) AS fallbacks
WHERE zone.name = 'day_time_zone';

CREATE VIEW llm_fallbacks_current AS
SELECT day, original_provider, provider, sum(requests)::bigint AS requests, sum(successes)::bigint AS successes
FROM (
    SELECT day, original_provider, provider, requests, successes FROM llm_fallbacks_daily
    UNION ALL
    SELECT
        (quarter_start AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone'))::date,
        original_provider,
        provider,
        requests,
        successes
    FROM llm_fallback_deltas
) AS daily_and_pending
GROUP BY day, original_provider, provider;
COMMENT ON VIEW llm_fallbacks_current IS 'llm_fallbacks_daily with what is not folded yet: exact at every moment.';

CREATE FUNCTION llm_fallback_flows(last_days integer DEFAULT 30) RETURNS TABLE (
    original_provider text,
    provider          text,
    requests          bigint,
    successes         bigint,
    success_rate      double precision
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    first_day date := llm_first_day(last_days);
BEGIN
    RETURN QUERY
    SELECT
        original_provider,
        provider,
        sum(requests)::bigint AS all_requests,
        sum(successes)::bigint,
        round(100 * sum(successes) / sum(requests), 2)::double precision
    FROM llm_fallbacks_current
    WHERE day >= first_day
    GROUP BY original_provider, provider
    HAVING sum(requests) > 0
    ORDER BY all_requests DESC, original_provider, provider;
END $$;
COMMENT ON FUNCTION llm_fallback_flows IS
    'Who fell back to whom over the last days (NULL: all), the most first: attempts that another provider should have served.';

-- As before, and the hours of the dropped day, with whatever late events left in hours before them.
CREATE OR REPLACE FUNCTION drop_request_partition(day date) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
BEGIN
    UPDATE fuseboard_settings
    SET value = to_char(day + 1, 'YYYY-MM-DD"T00:00:00+00:00"'), updated_at = now()
    WHERE name = 'raw_retained_from' AND value::timestamptz < (day + 1)::timestamp AT TIME ZONE 'UTC';
    DELETE FROM llm_usage_hourly WHERE hour_start < (day + 1)::timestamp AT TIME ZONE 'UTC';
    EXECUTE format('DROP TABLE IF EXISTS %I', 'llm_requests_' || to_char(day, 'YYYYMMDD'));
END $$;

-- Not kept as a sum: workers choose tags and their values freely, so their number has no bound, and summing them up at
-- every insert would cost those who send none.
CREATE FUNCTION llm_costs_by_tag(tag_key text, last_days integer DEFAULT 7) RETURNS TABLE (
    tag_value                    text,
    requests                     bigint,
    successes                    bigint,
    success_rate                 double precision,
    total_tokens                 numeric,
    cost_usd                     numeric,
    hypothetical_claude_cost_usd numeric,
    savings_usd                  numeric,
    unpriced_requests            bigint
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    zone text := (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone');
    first_at timestamptz := llm_first_day(last_days)::timestamp AT TIME ZONE zone;
BEGIN
    RETURN QUERY
    SELECT
        tags ->> tag_key AS tag_value,
        count(*),
        count(*) FILTER (WHERE status = 'success'),
        round(100.0 * count(*) FILTER (WHERE status = 'success') / count(*), 2)::double precision,
        coalesce(sum(prompt_tokens), 0) + coalesce(sum(completion_tokens), 0),
        coalesce(sum(cost_usd), 0) AS cost,
        coalesce(sum(baseline_cost_usd), 0),
        coalesce(sum(savings_usd), 0),
        count(*) FILTER (WHERE cost_usd IS NULL AND price_id IS NULL)
    FROM llm_requests
    WHERE occurred_at >= first_at
    GROUP BY 1
    ORDER BY cost DESC, tag_value;
END $$;
COMMENT ON FUNCTION llm_costs_by_tag IS
    'Requests, tokens and cost per value of a tag over the last days, the most expensive first; NULL: without the tag. Reads raw requests: some 2 seconds per million.';
