"""What `reads.py` asks: requests made by the database, and what the consumer and the fold would have left of them."""

from datetime import UTC, datetime, timedelta
from typing import Final

from fuseboard_aggregator.store import Database

PENDING_SECONDS: Final = 30
PART_REQUESTS: Final = 500_000
MAKE_REQUESTS: Final = """
INSERT INTO llm_requests (
    event_id, request_id, occurred_at, attempt, is_fallback, provider, model, status, error_type, prompt_tokens,
    completion_tokens, usage_source, service_tier, duration_seconds, original_provider, worker_id, tags, cost_usd,
    price_id, baseline_cost_usd, baseline_price_id, savings_usd
)
SELECT
    -- in the order of time, as producers make them
    uuidv7(occurred_at - now()), 'request-' || number, occurred_at, 1,
    number %% 33 = 0, (ARRAY['ollama', 'localai', 'claude', 'openai'])[1 + number %% 4], 'model-' || number %% 20,
    CASE WHEN number %% 20 = 0 THEN 'error' ELSE 'success' END, CASE WHEN number %% 20 = 0 THEN 'ReadError' END,
    20 + number %% 3980, 1 + number %% 799, 'provider', 'standard', round((0.05 + 8 * random() ^ 3)::numeric, 6),
    CASE WHEN number %% 33 = 0 THEN 'localai' END, 'host-' || number %% 8,
    jsonb_build_object('team', 'team-' || number %% 12), 0.000003 * (20 + number %% 3980), 1,
    0.000005 * (20 + number %% 3980), 1, 0.000002 * (20 + number %% 3980)
FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS number,
    LATERAL (SELECT %(since)s::timestamptz + number * %(step_seconds)s * interval '1 second' AS occurred_at) AS ended
"""
SUM_UP: Final = (
    "INSERT INTO llm_costs_daily SELECT * FROM sum_request_usage('-infinity', %(folded_until)s, 'UTC')",
    "INSERT INTO llm_usage_hourly SELECT * FROM sum_request_hours('-infinity', %(folded_until)s)",
    "INSERT INTO llm_fallbacks_daily SELECT * FROM sum_request_fallbacks('-infinity', %(folded_until)s, 'UTC')",
    "INSERT INTO llm_tag_costs_daily SELECT * FROM sum_request_tags('-infinity', %(folded_until)s, 'UTC', '{team}')",
    # as consumers leave them: a delta per batch of 2,000 events, quarter, provider and model
    """
    INSERT INTO llm_usage_deltas (
        quarter_start, provider, model, requests, successes, failures, rate_limited, cancelled, fallbacks,
        unpriced_requests, unmetered_requests, baseline_unknown_requests, prompt_tokens, completion_tokens,
        cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, cost_usd, baseline_cost_usd,
        savings_usd, duration_seconds_sum, duration_seconds_count, duration_buckets
    )
    SELECT
        quarter_start, provider, model, count(*), sum(successes), sum(failures), 0, 0, sum(fallbacks), 0, 0, 0,
        sum(prompt_tokens), sum(completion_tokens), 0, 0, 0, 0, sum(cost_usd), sum(baseline_cost_usd), sum(savings_usd),
        sum(duration_seconds_sum), sum(duration_seconds_count),
        coalesce(array_agg(duration_buckets[1]) FILTER (WHERE duration_buckets <> '{}'), '{}')
    FROM (
        SELECT *, (row_number() OVER (ORDER BY occurred_at)) / 2000 AS batch FROM llm_request_usage
        WHERE occurred_at >= %(folded_until)s
    ) AS batched
    GROUP BY batch, quarter_start, provider, model""",
    """
    INSERT INTO llm_fallback_deltas (quarter_start, original_provider, provider, requests, successes)
    SELECT
        date_bin('15 minutes', occurred_at, '2020-01-01T00:00:00Z'), original_provider, provider, count(*),
        count(*) FILTER (WHERE status = 'success')
    FROM (
        SELECT *, (row_number() OVER (ORDER BY occurred_at)) / 2000 AS batch FROM llm_requests
        WHERE occurred_at >= %(folded_until)s
    ) AS batched
    WHERE is_fallback
    GROUP BY batch, 1, 2, 3""",
    """
    INSERT INTO llm_tag_deltas (
        quarter_start, tag_key, tag_value, requests, successes, unpriced_requests, unmetered_requests, prompt_tokens,
        completion_tokens, cost_usd, baseline_cost_usd, savings_usd
    )
    SELECT
        quarter_start, 'team', tags ->> 'team', count(*), sum(successes), 0, 0, sum(prompt_tokens),
        sum(completion_tokens), sum(cost_usd), sum(baseline_cost_usd), sum(savings_usd)
    FROM (
        SELECT *, (row_number() OVER (ORDER BY occurred_at)) / 2000 AS batch FROM llm_request_usage
        WHERE occurred_at >= %(folded_until)s
    ) AS batched
    GROUP BY batch, quarter_start, tags ->> 'team'""",
    """
    INSERT INTO llm_rejected_events (reason, detail, raw_text, raw_bytes, entry_id, entry_index)
    SELECT 'invalid_event', 'model: Field required', '{}', 2, number || '-0', 0
    FROM generate_series(1, 1000) AS number""",
    """
    UPDATE llm_provider_health SET
        total_requests = 1000, successful_requests = 990, last_success_at = now(), rolling_success_rate = 99,
        rolling_minutes = (
            SELECT jsonb_object_agg(
                60 * (extract(epoch FROM now())::bigint / 60 - minute), '[1000, 990, 1000000, 990]'::jsonb
            )
            FROM generate_series(0, 9) AS minute
        ),
        rolling_durations = (
            SELECT jsonb_object_agg(60 * (extract(epoch FROM now())::bigint / 60 - minute), buckets)
            FROM generate_series(0, 9) AS minute,
                (SELECT jsonb_object_agg(bucket, 10) AS buckets FROM generate_series(20, 90) AS bucket) AS counted
        )""",
)


def fill_database(database: Database, requests: int, pending: int, days: int) -> None:
    """Make the requests, and what is summed up of them; as many as are pending came in the last half minute."""
    now = datetime.now(UTC)
    folded_until = now - timedelta(seconds=PENDING_SECONDS)
    for offset in range(days + 1):
        database.execute("SELECT ensure_request_partition(%s)", ((now - timedelta(days=offset)).date(),))
    make_requests(database, now - timedelta(days=days), folded_until, requests - pending)
    make_requests(database, folded_until, now, pending)
    for statement in SUM_UP:
        database.execute(statement.encode(), {"folded_until": folded_until})
    database.execute("VACUUM ANALYZE")


def make_requests(database: Database, since: datetime, until: datetime, requests: int) -> None:
    """Spread requests evenly over a range of time, some at once."""
    step_seconds = (until - since).total_seconds() / requests
    for first in range(0, requests, PART_REQUESTS):
        last = min(first + PART_REQUESTS, requests)
        values = {"since": since, "step_seconds": step_seconds, "first": first, "last": last}
        database.execute(MAKE_REQUESTS, values)
