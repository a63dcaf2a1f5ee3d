"""What PostgreSQL does for a fold when its statistics are of another time."""

from fuseboard_aggregator.fold import CHUNK_MAX_DELTAS, Folded, fold_deltas
from fuseboard_schema.sql import load_sql
from queries import Database, fetch_value

ADD_DELTAS = """
    INSERT INTO llm_usage_deltas (
        quarter_start, provider, model, requests, successes, failures, rate_limited, cancelled, fallbacks,
        unpriced_requests, unmetered_requests, baseline_unknown_requests, prompt_tokens, completion_tokens,
        cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, cost_usd, baseline_cost_usd,
        savings_usd, duration_seconds_sum, duration_seconds_count, duration_buckets
    )
    SELECT
        '2026-03-10T12:00Z'::timestamptz - (i %% 8) * interval '15 minutes', 'p' || i %% 5, 'm',
        1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 1, 1, '{5}'
    FROM generate_series(1, %(deltas)s) AS i
"""


def test_a_fold_compares_no_delta_with_another_whatever_the_statistics_say(connection: Database) -> None:
    connection.execute("ALTER TABLE llm_usage_deltas SET (autovacuum_enabled = off)")
    deltas = CHUNK_MAX_DELTAS * 2 + 100
    connection.execute(ADD_DELTAS, {"deltas": deltas})
    fold_deltas(connection)
    # analyzed when it was just emptied, and then filled again
    connection.execute("ANALYZE llm_usage_deltas, llm_costs_daily, llm_usage_hourly")
    assert fetch_value(connection, "SELECT reltuples FROM pg_class WHERE relname = 'llm_usage_deltas'") == 0
    connection.execute(ADD_DELTAS, {"deltas": deltas})

    explain = b"EXPLAIN " + load_sql("fuseboard_aggregator", "fold_deltas")
    plan = "\n".join(row[0] for row in connection.execute(explain, {"max_deltas": CHUNK_MAX_DELTAS}))
    folded = fold_deltas(connection)

    assert "Nested Loop" not in plan
    assert "Join" not in plan
    assert folded == Folded(deltas, 15)
    assert fetch_value(connection, "SELECT sum(requests) FROM llm_costs_current") == 2 * deltas
