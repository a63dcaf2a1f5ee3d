-- Reads that said less than they know.

-- every partition is read once
SELECT set_config('statement_timeout', '0', true);

-- Requests come nearly in the order of their time, so an hour of a day is found by what each block holds, and storing a
-- request costs nothing more, which a list of all times would.
CREATE INDEX llm_requests_occurred_at ON llm_requests USING brin (occurred_at) WITH (pages_per_range = 32, autosummarize = on);

-- as before, and what is in no cost figure: a day of unpriced requests does not look like a day that cost nothing
DROP FUNCTION llm_daily_trends;
CREATE FUNCTION llm_daily_trends(last_days integer DEFAULT 30) RETURNS TABLE (
    day                          date,
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
    savings_usd                  numeric,
    unpriced_requests            bigint,
    unmetered_requests           bigint
)
LANGUAGE sql STABLE AS $$
    SELECT
        usage.day,
        usage.provider,
        sum(usage.requests)::bigint,
        sum(usage.successes)::bigint,
        sum(usage.failures)::bigint,
        round(100 * sum(usage.successes) / sum(usage.requests), 2)::double precision,
        round(1000 * sum(usage.duration_seconds_sum) / nullif(sum(usage.duration_seconds_count), 0), 1)::double precision,
        sum(usage.prompt_tokens),
        sum(usage.completion_tokens),
        sum(usage.prompt_tokens) + sum(usage.completion_tokens),
        sum(usage.cost_usd),
        sum(usage.baseline_cost_usd),
        sum(usage.savings_usd),
        sum(usage.unpriced_requests)::bigint,
        sum(usage.unmetered_requests)::bigint
    FROM llm_usage_since(llm_first_day(last_days)) AS usage
    GROUP BY usage.day, usage.provider
    HAVING sum(usage.requests) > 0
    ORDER BY usage.day, usage.provider
$$;
COMMENT ON FUNCTION llm_daily_trends IS
    'Requests, tokens and cost per day and provider over the last days (NULL: all); a day without requests has no row.';

DROP FUNCTION llm_hourly_trends;
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
    savings_usd                  numeric,
    unpriced_requests            bigint
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
        savings_usd,
        unpriced_requests
    FROM llm_usage_hourly_current
    WHERE hour_start > name_hour(now()) - last_hours * interval '1 hour'
        -- of a day whose raw requests are gone only what came late would be left
        AND hour_start >= (SELECT value::timestamptz FROM fuseboard_settings WHERE name = 'raw_retained_from')
        AND requests > 0
    ORDER BY hour_start, provider
$$;
COMMENT ON FUNCTION llm_hourly_trends IS
    'Requests, tokens and cost per UTC hour and provider over the last hours, this one among them; an hour without requests has no row. Goes back as far as raw requests are kept.';

CREATE FUNCTION llm_day_start(day date) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT day::timestamp AT TIME ZONE (SELECT value FROM fuseboard_settings WHERE name = 'day_time_zone')
$$;
COMMENT ON FUNCTION llm_day_start IS 'When a day begins, in the installation''s time zone: where a chart over time draws it.';

-- the word that metrics and trends use
ALTER VIEW llm_provider_status RENAME COLUMN p50_ms TO p50_response_time_ms;
ALTER VIEW llm_provider_status RENAME COLUMN p95_ms TO p95_response_time_ms;

-- as before, in a form in which a question about one provider, or its last changes, reads no others
CREATE OR REPLACE VIEW llm_circuit_history AS
SELECT
    transitions.provider,
    states.occurred_at,
    states.from_state,
    states.to_state,
    states.reason,
    transitions.epoch,
    transitions.version,
    states.actor,
    states.note,
    states.calls,
    states.bad,
    states.slow,
    states.cause_event_id,
    extract(epoch FROM states.ended_at - states.occurred_at)::double precision AS lasted_seconds
FROM llm_circuit_transitions AS transitions
LEFT JOIN LATERAL (
    SELECT later.occurred_at
    FROM llm_circuit_transitions AS later
    WHERE later.provider = transitions.provider AND later.version > transitions.version
    ORDER BY later.version
    LIMIT 1
) AS next ON true
CROSS JOIN LATERAL (
    -- half-open is derived: the open epoch lasted beyond its deadline
    SELECT CASE
        WHEN transitions.to_state = 'open' AND coalesce(next.occurred_at, now()) >= transitions.open_until
            THEN transitions.open_until
    END AS half_open_at
) AS derived
CROSS JOIN LATERAL (
    SELECT
        transitions.occurred_at, transitions.from_state, transitions.to_state, transitions.reason, transitions.actor,
        transitions.note, transitions.calls, transitions.bad, transitions.slow, transitions.cause_event_id,
        coalesce(derived.half_open_at, next.occurred_at) AS ended_at
    UNION ALL
    SELECT
        derived.half_open_at, 'open', 'half_open', 'open_until_passed', NULL, NULL, NULL, NULL, NULL, NULL,
        next.occurred_at
    WHERE derived.half_open_at IS NOT NULL
) AS states;
