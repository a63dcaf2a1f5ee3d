"""Measure reads: each SQL function at two numbers of raw requests, beside the same question asked of the raw requests.

    python benchmarks/reads.py [--requests N [N ...]] [--pending N] [--days N] [--repeat N] [--json]

The requests are made by the database itself, over the last days, in what the consumer and the fold would have left: raw
rows in daily partitions, daily and hourly rows, fallbacks, and those of the last half minute still pending as deltas.
Each number of requests has a database of its own.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from fuseboard_aggregator.store import Database
from fuseboard_cli.embedded import Embedded
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import migrate

PENDING_SECONDS: Final = 30
PART_REQUESTS: Final = 500_000
WARM_RUNS: Final = 3
RAW_RUNS: Final = 3
MAKE_REQUESTS: Final = """
INSERT INTO llm_requests (
    event_id, request_id, occurred_at, attempt, is_fallback, provider, model, status, error_type, prompt_tokens,
    completion_tokens, usage_source, service_tier, duration_seconds, original_provider, worker_id, tags, cost_usd,
    price_id, baseline_cost_usd, baseline_price_id, savings_usd
)
SELECT
    gen_random_uuid(), 'request-' || number,
    %(since)s::timestamptz + number * %(step_seconds)s * interval '1 second', 1,
    number %% 33 = 0, (ARRAY['ollama', 'localai', 'claude', 'openai'])[1 + number %% 4], 'model-' || number %% 20,
    CASE WHEN number %% 20 = 0 THEN 'error' ELSE 'success' END, CASE WHEN number %% 20 = 0 THEN 'ReadError' END,
    20 + number %% 3980, 1 + number %% 799, 'provider', 'standard', round((0.05 + 8 * random() ^ 3)::numeric, 6),
    CASE WHEN number %% 33 = 0 THEN 'localai' END, 'host-' || number %% 8,
    jsonb_build_object('team', 'team-' || number %% 12), 0.000003 * (20 + number %% 3980), 1,
    0.000005 * (20 + number %% 3980), 1, 0.000002 * (20 + number %% 3980)
FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS number
"""
SUM_UP: Final = (
    "INSERT INTO llm_costs_daily SELECT * FROM sum_request_usage('-infinity', %(folded_until)s, 'UTC')",
    "INSERT INTO llm_usage_hourly SELECT * FROM sum_request_hours('-infinity', %(folded_until)s)",
    "INSERT INTO llm_fallbacks_daily SELECT * FROM sum_request_fallbacks('-infinity', %(folded_until)s, 'UTC')",
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


class Question(NamedTuple):
    """What is asked, of the functions, and of the raw requests if they can say it."""

    name: str
    read: str
    raw: str | None


_RAW_SUMS: Final = (
    "count(*), count(*) FILTER (WHERE status = 'success'), sum(prompt_tokens), sum(completion_tokens), sum(cost_usd),"
    " sum(baseline_cost_usd), sum(savings_usd), avg(duration_seconds) FROM llm_requests WHERE occurred_at >="
)
_THIRTY_DAYS: Final = "(llm_first_day(30))::timestamp AT TIME ZONE 'UTC'"
QUESTIONS: Final = (
    Question("llm_provider_status", "SELECT * FROM llm_provider_status", None),
    Question("llm_overall_health()", "SELECT * FROM llm_overall_health()", None),
    Question(
        "llm_provider_metrics(NULL, 30)",
        "SELECT * FROM llm_provider_metrics(NULL, 30)",
        "SELECT provider, percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_seconds::float8),"
        f" {_RAW_SUMS} {_THIRTY_DAYS} GROUP BY provider",
    ),
    Question(
        "llm_costs_by_provider(30)",
        "SELECT * FROM llm_costs_by_provider(30)",
        f"SELECT provider, {_RAW_SUMS} {_THIRTY_DAYS} GROUP BY provider",
    ),
    Question("llm_cost_summary(30)", "SELECT * FROM llm_cost_summary(30)", f"SELECT {_RAW_SUMS} {_THIRTY_DAYS}"),
    Question(
        "llm_daily_trends(30)",
        "SELECT * FROM llm_daily_trends(30)",
        f"SELECT occurred_at::date, provider, {_RAW_SUMS} {_THIRTY_DAYS} GROUP BY 1, 2",
    ),
    Question(
        "llm_hourly_trends(24)",
        "SELECT * FROM llm_hourly_trends(24)",
        f"SELECT date_trunc('hour', occurred_at), provider, {_RAW_SUMS} now() - interval '1 day' GROUP BY 1, 2",
    ),
    Question(
        "llm_fallback_flows(30)",
        "SELECT * FROM llm_fallback_flows(30)",
        f"SELECT original_provider, provider, {_RAW_SUMS} {_THIRTY_DAYS} AND is_fallback GROUP BY 1, 2",
    ),
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


def measure_ms(database: Database, statement: str, runs: int) -> list[float]:
    """Run a statement again and again and give the milliseconds of each run, its rows fetched."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        database.execute(statement.encode()).fetchall()
        times.append(1000 * (time.perf_counter() - started))
    return times


def measure_questions(database: Database, repeat: int) -> dict[str, dict[str, float | None]]:
    """Ask each question, of a session that has asked it before, as one of a pool has."""
    results: dict[str, dict[str, float | None]] = {}
    for question in QUESTIONS:
        measure_ms(database, question.read, WARM_RUNS)
        times = measure_ms(database, question.read, repeat)
        raw = statistics.median(measure_ms(database, question.raw, RAW_RUNS)) if question.raw else None
        results[question.name] = {
            "p50_ms": statistics.median(times),
            "p95_ms": statistics.quantiles(times, n=20)[-1],
            "raw_ms": raw,
        }
    return results


def measure_all(
    sizes: list[int], pending: int, days: int, repeat: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Measure each number of requests in a database of its own."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="fuseboard-bench-") as root, Embedded(root) as embedded:
        for size in sizes:
            name = f"requests_{size}"
            with connect_database(embedded.database_url, application_name="bench") as admin:
                admin.execute(f"CREATE DATABASE {name}".encode())
            url = urlunsplit(urlsplit(embedded.database_url)._replace(path=f"/{name}"))
            with connect_database(url, application_name="bench", statement_timeout_seconds=3600) as database:
                migrate(database)
                progress(f"making {size:,} requests")
                fill_database(database, size, pending, days)
                progress("asking")
                results[str(size)] = measure_questions(database, repeat)
    return results


def print_table(results: dict[str, Any]) -> None:
    """Print each question with its times and how they grow with the number of requests."""
    first = next(iter(results.values()))
    for size, result in results.items():
        print(f"\n{int(size):,} requests{'p50 ms':>29}{'p95 ms':>10}{'ratio':>10}{'raw ms':>12}")
        for name, times in result.items():
            ratio = times["p95_ms"] / first[name]["p95_ms"]
            raw = "-" if times["raw_ms"] is None else f"{times['raw_ms']:,.0f}"
            print(f"{name:32}{times['p50_ms']:12.2f}{times['p95_ms']:10.2f}{ratio:10.2f}{raw:>12}")


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, nargs="+", default=[100_000, 10_000_000])
    parser.add_argument("--pending", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--repeat", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure_all(
        arguments.requests,
        arguments.pending,
        arguments.days,
        arguments.repeat,
        lambda step: print(f"... {step}", file=sys.stderr),
    )
    if arguments.json:
        print(json.dumps(result))
        return
    print_table(result)


if __name__ == "__main__":
    main()
