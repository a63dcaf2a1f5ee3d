"""Measure reads: each SQL function and endpoint at two numbers of raw requests, beside the raw requests themselves.

    python benchmarks/reads.py [--requests N [N ...]] [--pending N] [--days N] [--repeat N] [--json]

The requests are made by the database itself, over the last days, in what the consumer and the fold would have left: raw
rows in daily partitions, daily and hourly rows, fallbacks, costs by tag, and what came in the last half minute still
pending as deltas. Each number of requests has a database of its own. Endpoints are asked of a real `fuseboard api`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import httpx
from read_data import fill_database

from fuseboard_aggregator.store import Database
from fuseboard_api.token_store import insert_token
from fuseboard_api.tokens import make_token
from fuseboard_cli.embedded import Embedded
from fuseboard_cli.listener import open_listener
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import migrate

WARM_RUNS: Final = 3
RAW_RUNS: Final = 3
START_SECONDS: Final = 30.0
ENDPOINTS: Final = (
    "/api/llm/providers",
    "/api/llm/metrics",
    "/api/llm/costs",
    "/api/llm/trends",
    "/api/llm/trends/hourly",
    "/api/llm/health",
    "/api/llm/circuits",
    "/api/llm/circuits/claude/history",
    "/api/llm/fallbacks",
    "/api/llm/tags/team",
    "/api/llm/unpriced",
    "/api/llm/rejected",
    "/api/llm/requests",
    "/api/llm/requests?status=error",
    "/api/llm/requests?provider=claude&tag=team=team-3",
    "/metrics",
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
    Question(
        "llm_costs_by_tag('team', 30)",
        "SELECT * FROM llm_costs_by_tag('team', 30)",
        f"SELECT tags ->> 'team', {_RAW_SUMS} {_THIRTY_DAYS} GROUP BY 1",
    ),
)


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
        results[question.name] = describe_times(times, raw)
    return results


def describe_times(times: list[float], raw_ms: float | None = None) -> dict[str, float | None]:
    """Give the middle and the slow end of milliseconds, beside what the raw requests take."""
    return {"p50_ms": statistics.median(times), "p95_ms": statistics.quantiles(times, n=20)[-1], "raw_ms": raw_ms}


@contextmanager
def serving(database_url: str, redis_url: str) -> Iterator[str]:
    """Run `fuseboard api` until the block ends; gives where it listens."""
    environment = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "FUSEBOARD_LOG_LEVEL": "ERROR"}
    with open_listener(None) as listener:
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "fuseboard_cli", "api", "--fd", str(descriptor)]
        process = subprocess.Popen(command, env=environment, pass_fds=[descriptor])  # noqa: S603 - our own command
        port = listener.getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def measure_endpoints(
    database: Database, database_url: str, redis_url: str, repeat: int
) -> dict[str, dict[str, float | None]]:
    """Ask each endpoint over one connection, with a token, as a script does; the answer read whole."""
    made = make_token()
    insert_token(database, made, name="bench", scope="read", lasting=None)
    headers = {"Authorization": f"Bearer {made.token}"}
    results = {}
    with (
        serving(database_url, redis_url) as url,
        httpx.Client(base_url=url, headers=headers, trust_env=False) as client,
    ):
        wait_for_server(client)
        for endpoint in ENDPOINTS:
            times = []
            for _ in range(WARM_RUNS + repeat):
                started = time.perf_counter()
                client.get(endpoint).raise_for_status()
                times.append(1000 * (time.perf_counter() - started))
            results[endpoint] = describe_times(times[WARM_RUNS:])
    return results


def wait_for_server(client: httpx.Client) -> None:
    """Return once the server answers; raises httpx.ConnectError when it does not in START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.get("/readyz").raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


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
                results[str(size)] = measure_questions(database, repeat) | measure_endpoints(
                    database, url, embedded.redis_url, repeat
                )
    return results


def print_table(results: dict[str, Any]) -> None:
    """Print each question with its times and how they grow with the number of requests."""
    first = next(iter(results.values()))
    for size, result in results.items():
        print(f"\n{int(size):,} requests{'p50 ms':>47}{'p95 ms':>10}{'ratio':>10}{'raw ms':>12}")
        for name, times in result.items():
            ratio = times["p95_ms"] / first[name]["p95_ms"]
            raw = "-" if times["raw_ms"] is None else f"{times['raw_ms']:,.0f}"
            print(f"{name:50}{times['p50_ms']:12.2f}{times['p95_ms']:10.2f}{ratio:10.2f}{raw:>12}")


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
