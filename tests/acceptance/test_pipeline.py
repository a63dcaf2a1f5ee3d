"""The whole pipeline in real processes, with things dying under it: every event counted once, every digit right."""

import os
import random
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

from consumers import consumers, is_drained
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_schema.database import connect_database
from fuseboard_schema.redis_client import connect_redis
from private_servers import PrivateServers
from queries import Database, fetch_row, fetch_value
from waiting import wait_until

NAMESPACE = "pipeline"
PRODUCERS = 3
CONSUMERS = 3
EVENTS_PER_PRODUCER = 8_000
RATES = {"claude": (3, 15), "openai": (5, 15), "ollama": (0, 0), "localai": (0, 0)}

# records what `make_calls` makes, slowly enough that the faults strike in the middle
RUN_PRODUCER = """
import sys, time
from test_pipeline import EVENTS_PER_PRODUCER, NAMESPACE, make_calls
from fuseboard_producer import Producer
with Producer(namespace=NAMESPACE, worker_id=f"worker-{sys.argv[1]}") as producer:
    for number, call in enumerate(make_calls(int(sys.argv[1]))):
        producer.record(**call)
        if number % 100 == 99:
            time.sleep(0.1)
    assert producer.flush(30)
    print(producer.counters, flush=True)
"""
RUN_AGGREGATOR = """
from fuseboard_aggregator.scheduler import run_aggregator
from fuseboard_schema.settings import read_settings
run_aggregator(read_settings())
"""


def make_calls(seed: int) -> list[dict[str, object]]:
    """Make the calls of one worker: the same for the process that records them and the test that sums them."""
    randomness = random.Random(seed)  # noqa: S311 - traffic, not secrets
    calls = []
    for _ in range(EVENTS_PER_PRODUCER):
        call: dict[str, object] = {
            "provider": randomness.choice(sorted(RATES)),
            "model": f"model-{randomness.randrange(4)}",
            "status": randomness.choices(["success", "error", "timeout", "rate_limited"], [90, 4, 3, 3])[0],
            "duration_seconds": randomness.lognormvariate(0, 1),
        }
        if call["status"] == "success":
            call |= {"prompt_tokens": randomness.randrange(5000), "completion_tokens": randomness.randrange(900)}
        calls.append(call)
    return calls


def compute_expected() -> tuple[int, Decimal, Decimal]:
    """Sum calls, cost and savings independently of Fuseboard: per million tokens, in whole micro-dollars."""
    calls = [call for seed in range(PRODUCERS) for call in make_calls(seed)]
    cost = savings = 0
    for call in calls:
        if call["status"] == "success":
            prompt, completion = int(str(call["prompt_tokens"])), int(str(call["completion_tokens"]))
            rate_in, rate_out = RATES[str(call["provider"])]
            price = prompt * rate_in + completion * rate_out
            cost += price
            savings += prompt * 3 + completion * 15 - price
    return len(calls), Decimal(cost) / 1_000_000, Decimal(savings) / 1_000_000


def start_python(code: str, *arguments: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(str(folder) for folder in (Path(__file__).parent, Path(__file__).parent.parent))
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env={**environment, "PYTHONPATH": paths})


def strike(private_servers: PrivateServers, database: Database, victim: int) -> None:
    """Kill a consumer, then restart Redis, then crash and restart PostgreSQL, each while events flow."""
    wait_until(lambda: fetch_value(database, "SELECT count(*) FROM llm_requests") > 500)
    os.kill(victim, signal.SIGKILL)
    time.sleep(0.7)
    private_servers.valkey.restart(down_seconds=0.5)
    time.sleep(0.7)
    private_servers.postgres.kill9()
    time.sleep(0.5)
    private_servers.postgres.start()
    time.sleep(0.7)
    private_servers.valkey.kill9()
    private_servers.valkey.start()


def test_every_event_is_counted_once_whatever_dies_on_the_way(private_servers: PrivateServers, tmp_path: Path) -> None:
    urls = private_servers.database_url, private_servers.redis_url
    environment = {
        **os.environ,
        "DATABASE_URL": urls[0],
        "REDIS_URL": urls[1],
        "FUSEBOARD_SPOOL_DIR": str(tmp_path / "spool"),
        "FUSEBOARD_FOLD_INTERVAL_SECONDS": "1",
    }
    processes = [start_python(RUN_AGGREGATOR, environment=environment) for _ in range(2)]
    with consumers(CONSUMERS, tmp_path, *urls, NAMESPACE) as started:
        try:
            producers = [start_python(RUN_PRODUCER, str(seed), environment=environment) for seed in range(PRODUCERS)]
            processes += producers
            with connect_database(urls[0], application_name="tests") as database:
                strike(private_servers, database, started[0].process.pid)
            assert [producer.wait(120) for producer in producers] == [0] * PRODUCERS
            with connect_redis(urls[1], retries=10) as redis:
                wait_until(lambda: is_drained(redis, NAMESPACE), timeout_seconds=60)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(20)
    with connect_database(urls[0], application_name="tests") as database:
        check_all_counted_once(database)


def check_all_counted_once(database: Database) -> None:
    """Compare rows, daily rows with pending deltas, and health totals with the independent sums."""
    requests, cost, savings = compute_expected()
    sums = "count(*) requests, sum(cost_usd) cost, sum(savings_usd) savings, count(DISTINCT event_id) ids"
    assert fetch_row(database, f"SELECT {sums} FROM llm_requests") == {  # noqa: S608 - fixed text
        "requests": requests, "cost": cost, "savings": savings, "ids": requests,
    }  # fmt: skip
    counted = (
        "SELECT sum(requests) requests, sum(cost_usd) cost, sum(savings_usd) savings FROM ("
        "SELECT requests, cost_usd, savings_usd FROM llm_costs_daily"
        " UNION ALL SELECT requests, cost_usd, savings_usd FROM llm_usage_deltas) AS counted"
    )
    assert fetch_row(database, counted) == {"requests": requests, "cost": cost, "savings": savings}
    assert fetch_value(database, "SELECT sum(total_requests) FROM llm_provider_health") == requests
    assert fetch_value(database, "SELECT count(*) FROM llm_costs_daily") > 0
    assert fetch_value(database, "SELECT count(*) FROM llm_rejected_events") == 0
    reconciliation = reconcile(database)
    assert (reconciliation.difference_requests, reconciliation.difference_usd) == (0, Decimal(0))
