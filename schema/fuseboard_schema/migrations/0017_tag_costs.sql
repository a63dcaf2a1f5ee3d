-- Cost by tag, kept up to date from the same events as the daily rows, for the tags that llm_tag_keys names. Exact (G3): what
-- is folded and what is pending are together what the raw requests say. Only requests with such a tag make rows, so that the
-- others cost nothing.

-- years of raw requests may have to be summed up once
SELECT set_config('statement_timeout', '0', true);
-- no fold between the sums below and the commit; consumers go on
SELECT pg_advisory_xact_lock(hashtext('fuseboard.fold'));

-- Workers choose tags and their values freely, so a sum of each would have no bound: these are the ones worth it.
CREATE TABLE llm_tag_keys (
    tag_key    text PRIMARY KEY,
    whole_from date,
    added_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE llm_tag_keys IS
    'Tags whose cost is kept as a sum. Changed by `fuseboard tags add` and `remove`, which sum up what is there already.';
COMMENT ON COLUMN llm_tag_keys.whole_from IS
    'The first day of which every request is in the sums. NULL: they are still being made; `fuseboard tags add` goes on.';

INSERT INTO llm_tag_keys (tag_key) VALUES ('team'), ('feature'), ('tenant');

-- What one batch added, append only; the aggregator folds and deletes.
CREATE TABLE llm_tag_deltas (
    delta_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    quarter_start      timestamptz NOT NULL,
    tag_key            text NOT NULL,
    tag_value          text NOT NULL,
    requests           bigint NOT NULL,
    successes          bigint NOT NULL,
    unpriced_requests  bigint NOT NULL,
    unmetered_requests bigint NOT NULL,
    prompt_tokens      numeric NOT NULL,
    completion_tokens  numeric NOT NULL,
    cost_usd           numeric NOT NULL,
    baseline_cost_usd  numeric NOT NULL,
    savings_usd        numeric NOT NULL
);
COMMENT ON TABLE llm_tag_deltas IS 'Not yet folded usage by tag.';

CREATE TABLE llm_tag_costs_daily (
    day                date NOT NULL,
    tag_key            text NOT NULL,
    tag_value          text NOT NULL,
    requests           bigint NOT NULL,
    successes          bigint NOT NULL,
    unpriced_requests  bigint NOT NULL,
    unmetered_requests bigint NOT NULL,
    prompt_tokens      numeric NOT NULL,
    completion_tokens  numeric NOT NULL,
    cost_usd           numeric NOT NULL,
    baseline_cost_usd  numeric NOT NULL,
    savings_usd        numeric NOT NULL,
    PRIMARY KEY (tag_key, day, tag_value)
);
COMMENT ON TABLE llm_tag_costs_daily IS
    'Cost, baseline (hypothetical Claude) cost and savings per day and value of a tag, as of the last fold. Kept for good.';
COMMENT ON COLUMN llm_tag_costs_daily.day IS 'A day of the zone fuseboard_settings.day_time_zone.';
COMMENT ON COLUMN llm_tag_costs_daily.unpriced_requests IS 'Requests with no known price: they are in no cost figure.';
COMMENT ON COLUMN llm_tag_costs_daily.unmetered_requests IS 'Requests with a price but unknown usage: they are in no cost figure.';

-- as before, and the tags
CREATE OR REPLACE VIEW llm_request_usage AS
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
    END AS duration_buckets,
    tags
FROM llm_requests;

-- The keys come as values, so that nothing but the requests is read: their table may be spread over many machines.
CREATE FUNCTION sum_request_tags(since timestamptz, until timestamptz, time_zone text, tag_keys text[])
RETURNS SETOF llm_tag_costs_daily
LANGUAGE sql STABLE AS $$
    SELECT
        (occurred_at AT TIME ZONE time_zone)::date,
        tag_key,
        tags ->> tag_key,
        sum(requests)::bigint,
        sum(successes)::bigint,
        sum(unpriced_requests)::bigint,
        sum(unmetered_requests)::bigint,
        sum(prompt_tokens),
        sum(completion_tokens),
        sum(cost_usd),
        sum(baseline_cost_usd),
        sum(savings_usd)
    FROM llm_request_usage, unnest(tag_keys) AS tag_key
    WHERE tags ? tag_key AND occurred_at >= since AND occurred_at < until
    GROUP BY 1, 2, 3
$$;
COMMENT ON FUNCTION sum_request_tags IS
    'The rows of llm_tag_costs_daily that the raw requests of [since, until) make in a time zone, for some keys.';

INSERT INTO llm_tag_costs_daily
SELECT tags.*
FROM
    fuseboard_settings AS zone,
    sum_request_tags('-infinity', 'infinity', zone.value, ARRAY(SELECT tag_key FROM llm_tag_keys)) AS tags
WHERE zone.name = 'day_time_zone';

UPDATE llm_tag_keys
SET whole_from = greatest(
    ((retained.value::timestamptz - interval '1 microsecond') AT TIME ZONE zone.value)::date + 1, whole.value::date
)
FROM fuseboard_settings AS zone, fuseboard_settings AS retained, fuseboard_settings AS whole
WHERE zone.name = 'day_time_zone' AND retained.name = 'raw_retained_from' AND whole.name = 'whole_days_from';

-- The deltas that are not folded yet, as the daily rows they will be added to.
CREATE VIEW llm_tag_costs_pending AS
SELECT
    (quarter_start AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone'))::date AS day,
    tag_key,
    tag_value,
    sum(requests)::bigint AS requests,
    sum(successes)::bigint AS successes,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    sum(unmetered_requests)::bigint AS unmetered_requests,
    sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cost_usd) AS cost_usd,
    sum(baseline_cost_usd) AS baseline_cost_usd,
    sum(savings_usd) AS savings_usd
FROM llm_tag_deltas
GROUP BY 1, 2, 3;
COMMENT ON VIEW llm_tag_costs_pending IS 'llm_tag_deltas by day and value: what the next fold adds to llm_tag_costs_daily.';

CREATE VIEW llm_tag_costs_current AS
SELECT
    day,
    tag_key,
    tag_value,
    sum(requests)::bigint AS requests,
    sum(successes)::bigint AS successes,
    sum(unpriced_requests)::bigint AS unpriced_requests,
    sum(unmetered_requests)::bigint AS unmetered_requests,
    sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cost_usd) AS cost_usd,
    sum(baseline_cost_usd) AS baseline_cost_usd,
    sum(savings_usd) AS savings_usd
FROM (
    SELECT * FROM llm_tag_costs_daily
    UNION ALL
    SELECT * FROM llm_tag_costs_pending
) AS daily_and_pending
GROUP BY day, tag_key, tag_value;
COMMENT ON VIEW llm_tag_costs_current IS 'llm_tag_costs_daily with what is not folded yet: exact at every moment.';

-- it reads sums now, so it answers for the tags of llm_tag_keys alone
DROP FUNCTION llm_costs_by_tag;
CREATE FUNCTION llm_costs_by_tag(tag_key text, last_days integer DEFAULT 30) RETURNS TABLE (
    tag_value                    text,
    requests                     bigint,
    successes                    bigint,
    success_rate                 double precision,
    total_tokens                 numeric,
    cost_usd                     numeric,
    hypothetical_claude_cost_usd numeric,
    savings_usd                  numeric,
    unpriced_requests            bigint,
    unmetered_requests           bigint
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    key      text := tag_key;
    whole    llm_tag_keys := (SELECT llm_tag_keys FROM llm_tag_keys WHERE tag_key = key);
    first_day date := greatest(llm_first_day(last_days), whole.whole_from);
BEGIN
    IF whole.whole_from IS NULL THEN
        RAISE EXCEPTION 'cost by the tag % is not kept', key
        USING ERRCODE = 'undefined_parameter', HINT = format('Run `fuseboard tags add %s`; `fuseboard tags list` shows those that are.', key);
    END IF;
    RETURN QUERY
    WITH tagged AS (
        SELECT
            tag_value,
            sum(requests) AS requests,
            sum(successes) AS successes,
            sum(prompt_tokens) + sum(completion_tokens) AS total_tokens,
            sum(cost_usd) AS cost_usd,
            sum(baseline_cost_usd) AS baseline_cost_usd,
            sum(savings_usd) AS savings_usd,
            sum(unpriced_requests) AS unpriced_requests,
            sum(unmetered_requests) AS unmetered_requests
        FROM llm_tag_costs_current
        WHERE tag_key = key AND day >= first_day
        GROUP BY tag_value
    ), untagged AS (
        -- what nobody tagged is the rest of everything
        SELECT
            NULL::text AS tag_value,
            sum(requests) AS requests,
            sum(successes) AS successes,
            sum(total_tokens) AS total_tokens,
            sum(cost_usd) AS cost_usd,
            sum(baseline_cost_usd) AS baseline_cost_usd,
            sum(savings_usd) AS savings_usd,
            sum(unpriced_requests) AS unpriced_requests,
            sum(unmetered_requests) AS unmetered_requests
        FROM (
            SELECT
                requests, successes, prompt_tokens + completion_tokens AS total_tokens, cost_usd, baseline_cost_usd,
                savings_usd, unpriced_requests, unmetered_requests
            FROM llm_usage_since(first_day)
            UNION ALL
            SELECT
                -requests, -successes, -total_tokens, -cost_usd, -baseline_cost_usd, -savings_usd, -unpriced_requests,
                -unmetered_requests
            FROM tagged
        ) AS all_without_tagged
    )
    SELECT
        tag_value,
        requests::bigint,
        successes::bigint,
        round(100 * successes / requests, 2)::double precision,
        total_tokens,
        cost_usd,
        baseline_cost_usd,
        savings_usd,
        unpriced_requests::bigint,
        unmetered_requests::bigint
    FROM (SELECT * FROM tagged UNION ALL SELECT * FROM untagged) AS by_value
    WHERE requests > 0
    ORDER BY cost_usd DESC, tag_value;
END $$;
COMMENT ON FUNCTION llm_costs_by_tag IS
    'Requests, tokens and cost per value of a tag over the last days (NULL: all), the most expensive first; NULL: without the tag. For the tags of llm_tag_keys, from whole_from on.';
