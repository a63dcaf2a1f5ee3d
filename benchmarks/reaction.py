"""Measure how fast workers react: from the failure that opens a circuit to each of 8 workers refusing the provider.

    python benchmarks/reaction.py [--trips N] [--choices N] [--json]

Real worker processes, a real consumer, servers of their own; once with the pub/sub hint and once by polling alone.
Beside it, by simulation, the same failures met by workers that each count alone up to the same number, as a breaker
inside each process does. And what a choice costs: `choose()` and `may_call()` for ten providers, beside a bare random
choice.
"""

import argparse
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from psycopg.types.json import Jsonb

from fuseboard_cli.embedded import Embedded
from fuseboard_consumer.store import Database
from fuseboard_producer import Producer, Request, Router
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import migrate

NAMESPACE: Final = "bench"
RUN_CONSUMER: Final = (
    "import logging; from fuseboard_consumer.worker import run_consumer;"
    "from fuseboard_schema.settings import read_settings;"
    # each trip is a warning
    "logging.disable(logging.WARNING); run_consumer(read_settings())"
)
WORKERS: Final = 8
PROVIDER: Final = "ollama"
PROVIDERS: Final = ("ollama", "localai", "claude", "openai", *(f"provider-{number}" for number in range(6)))
FAILURES: Final = 5
SETTINGS: Final = {"consecutive_failures": FAILURES, "min_reporters": 2, "open_base_s": 3600, "ramp_s": 0}
FAILED: Final[dict[str, Any]] = {"error_type": "ReadError", "http_status": 502, "duration_seconds": 0.001}
LOOK_EVERY_SECONDS: Final = 0.001
ANSWER_SECONDS: Final = 60.0
# all workers together; each sees an eighth of it
CALLS_PER_SECOND: Final = (10, 100)
SIMULATIONS: Final = 2000
SHARES: Final = (("p50", 0.5), ("p99", 0.99))
NANOSECONDS_PER_MS: Final = 1e6
NANOSECONDS_PER_US: Final = 1e3


def watch_provider(pipe: Connection, redis_url: str, spool: str, use_pubsub: bool) -> None:
    """Be a worker that looks at a provider all the time, and says when the answer changes."""
    producer = Producer(redis_url, namespace=NAMESPACE, spool_dir=spool)
    router = Router(producer, providers=PROVIDERS, use_pubsub=use_pubsub)
    router.wait_until_ready(ANSWER_SECONDS)
    before: bool | None = None
    while True:
        answer = router.may_call(PROVIDER)
        if answer is not before:
            pipe.send((answer, time.monotonic_ns()))
            before = answer
        time.sleep(LOOK_EVERY_SECONDS)


@contextmanager
def running_workers(redis_url: str, spool: Path, *, use_pubsub: bool) -> Iterator[list[Connection]]:
    """Run the worker processes until the block ends."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(WORKERS):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=watch_provider, args=(theirs, redis_url, str(spool), use_pubsub), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    try:
        yield pipes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def wait_for_answer(pipes: list[Connection], answer: bool) -> list[int]:
    """Wait until every worker gives this answer; returns when each did, in nanoseconds."""
    moments = []
    for pipe in pipes:
        while True:
            assert pipe.poll(ANSWER_SECONDS), f"a worker does not say {answer}"
            said, moment = pipe.recv()
            if said is answer:
                moments.append(moment)
                break
    return moments


def trip_circuit(database: Database, producers: tuple[Producer, Producer]) -> int:
    """Fail until the circuit opens; returns when the last failure, which opens it, was recorded, in nanoseconds."""
    first, second = producers
    query = "SELECT failed_requests FROM llm_provider_health WHERE provider = %s"
    stored = read_count(database, query)
    for _ in range(FAILURES - 1):
        first.record(PROVIDER, "model", "error", **FAILED)
    while read_count(database, query) < stored + FAILURES - 1:
        time.sleep(0.002)
    # at any moment of the workers' polling
    time.sleep(random.random())  # noqa: S311 - no secret
    tripped_at = time.monotonic_ns()
    second.record(PROVIDER, "model", "error", **FAILED)
    return tripped_at


def read_count(database: Database, query: str) -> int:
    """Read one number about the provider."""
    row = database.execute(query.encode(), (PROVIDER,)).fetchone()
    assert row is not None
    return int(row[0])


def measure_trips(
    database: Database, redis_url: str, spool: Path, trips: int, *, use_pubsub: bool
) -> list[list[float]]:
    """Measure the reaction to each trip: one list for each, one time for each worker, in milliseconds."""
    reactions = []
    with ExitStack() as stack:
        pair = tuple(
            stack.enter_context(Producer(redis_url, namespace=NAMESPACE, spool_dir=spool, worker_id=f"failing-{name}"))
            for name in ("a", "b")
        )
        pipes = stack.enter_context(running_workers(redis_url, spool, use_pubsub=use_pubsub))
        wait_for_answer(pipes, answer=True)
        for _ in range(trips):
            tripped_at = trip_circuit(database, (pair[0], pair[1]))
            moments = wait_for_answer(pipes, answer=False)
            reactions.append([(moment - tripped_at) / NANOSECONDS_PER_MS for moment in moments])
            database.execute("SELECT llm_reset_circuit(%s, 'bench', 'the next trip')", (PROVIDER,))
            wait_for_answer(pipes, answer=True)
    return reactions


def simulate_outage(rng: random.Random, calls_per_second: float, *, is_shared: bool) -> tuple[float, int]:
    """Simulate calls at random workers, all failing, until every worker has counted enough, or all together have.

    Returns the milliseconds from the first failure to that, and how many calls failed until then.
    """
    counts = [0] * WORKERS
    seconds, calls = 0.0, 0
    while True:
        if calls:
            seconds += rng.expovariate(calls_per_second)
        worker = rng.randrange(WORKERS)
        # one that refuses calls another provider instead
        if is_shared or counts[worker] < FAILURES:
            calls += 1
        counts[worker] += 1
        if (sum(counts) if is_shared else min(counts)) >= FAILURES:
            return seconds * 1000, calls


def compare_with_counting_alone(reactions: list[list[float]]) -> dict[str, float]:
    """Relate the whole time, from the first failure to the last worker refusing, to workers that count alone."""
    rng = random.Random(7)  # noqa: S311 - simulation
    slowest = [max(trip) for trip in reactions]
    figures = {}
    for rate in CALLS_PER_SECOND:
        alone = [simulate_outage(rng, rate, is_shared=False) for _ in range(SIMULATIONS)]
        shared = [simulate_outage(rng, rate, is_shared=True) for _ in range(SIMULATIONS)]
        # while the news travels, calls go on failing
        whole = [(ms + reaction, calls + rate * reaction / 1000) for ms, calls in shared for reaction in slowest[:20]]
        for name, outages in (("alone", alone), ("shared", whole)):
            figures[f"at_{rate}_calls_s_{name}_p50_ms"] = pick([ms for ms, _ in outages], 0.5)
            figures[f"at_{rate}_calls_s_{name}_p99_ms"] = pick([ms for ms, _ in outages], 0.99)
            figures[f"at_{rate}_calls_s_{name}_failed_calls"] = pick([calls for _, calls in outages], 0.5)
        for share in ("p50", "p99"):
            ratio = figures[f"at_{rate}_calls_s_alone_{share}_ms"] / figures[f"at_{rate}_calls_s_shared_{share}_ms"]
            figures[f"at_{rate}_calls_s_ratio_{share}"] = ratio
    return figures


def measure_choices(redis_url: str, spool: Path, count: int) -> dict[str, float]:
    """Time choosing among ten providers as published, in microseconds."""
    names = list(PROVIDERS)
    auto = Request(strategy="auto", input_tokens=1000, output_tokens=300)
    with Producer(redis_url, namespace=NAMESPACE, spool_dir=spool) as producer:
        router = Router(producer, providers=PROVIDERS)
        assert router.wait_until_ready(ANSWER_SECONDS)
        assert len(router.snapshot.providers) == len(PROVIDERS)
        calls: dict[str, Callable[[], object]] = {
            "choose": router.choose,
            "choose_auto": lambda: router.choose(auto),
            "may_call": lambda: router.may_call(PROVIDER),
            "random_choice": lambda: random.choice(names),  # noqa: S311 - the yardstick
        }
        taken = {name: time_calls(call, count) for name, call in calls.items()}
        router.close()
    figures = {f"{name}_{label}_us": pick(values, share) for name, values in taken.items() for label, share in SHARES}
    figures["ratio_choose_to_random_choice"] = figures["choose_p50_us"] / figures["random_choice_p50_us"]
    return figures


def time_calls(call: Callable[[], object], count: int) -> list[float]:
    """Time each of `count` calls, in microseconds, after some to warm up."""
    taken = []
    for number in range(-count // 10, count):
        began = time.perf_counter_ns()
        call()
        ended = time.perf_counter_ns()
        if number >= 0:
            taken.append((ended - began) / NANOSECONDS_PER_US)
    return taken


def pick(values: list[float], share: float) -> float:
    """Pick a percentile: the smallest value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def describe_reactions(name: str, reactions: list[list[float]]) -> dict[str, float]:
    """Describe reactions over workers and trips, and of the last worker of each trip."""
    every, last = [ms for trip in reactions for ms in trip], [max(trip) for trip in reactions]
    figures = {f"{name}_{label}_ms": pick(every, share) for label, share in SHARES}
    return figures | {f"{name}_last_worker_{label}_ms": pick(last, share) for label, share in SHARES}


@contextmanager
def running_consumer(servers: Embedded) -> Iterator[None]:
    """Run one consumer process until the block ends."""
    addresses = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url, "FUSEBOARD_NAMESPACE": NAMESPACE}
    process = subprocess.Popen([sys.executable, "-c", RUN_CONSUMER], env=os.environ | addresses)  # noqa: S603
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def prepare_providers(database: Database) -> None:
    """Register ten providers, and give the one that fails its settings."""
    for name in PROVIDERS:
        database.execute(
            "INSERT INTO llm_providers (name, display_name, provider_type) VALUES (%s, %s, 'remote')"
            " ON CONFLICT (name) DO NOTHING",
            (name, name),
        )
    database.execute("UPDATE llm_providers SET circuit_settings = %s WHERE name = %s", (Jsonb(SETTINGS), PROVIDER))


def measure_all(trips: int, choices: int, progress: Callable[[str], None]) -> dict[str, float]:
    """Run everything on one pair of fresh servers."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuseboard-bench-")))
        servers = stack.enter_context(Embedded(root / "servers"))
        database = stack.enter_context(connect_database(servers.database_url, application_name="bench"))
        migrate(database)
        prepare_providers(database)
        stack.enter_context(running_consumer(servers))
        spool = root / "spool"
        progress("choosing among ten providers")
        figures = measure_choices(servers.redis_url, spool, choices)
        for name, use_pubsub in (("pubsub", True), ("poll", False)):
            progress(f"{trips} trips, {WORKERS} workers, {name}")
            reactions = measure_trips(database, servers.redis_url, spool, trips, use_pubsub=use_pubsub)
            figures |= describe_reactions(name, reactions)
            if use_pubsub:
                progress("workers that count alone")
                figures |= compare_with_counting_alone(reactions)
    return {"trips": trips, "workers": WORKERS, **figures}


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trips", type=int, default=50)
    parser.add_argument("--choices", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure_all(arguments.trips, arguments.choices, lambda step: print(f"... {step}", file=sys.stderr))
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:40}{value:14,.2f}")


if __name__ == "__main__":
    main()
