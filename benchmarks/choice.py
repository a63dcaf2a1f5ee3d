"""Measure what choosing a provider costs the caller: `choose()`, `may_call()`, and `call()` with its event.

    python benchmarks/choice.py [--providers N] [--calls N]

All circuits are closed and known, and the router's thread polls a server of its own meanwhile, as in a real worker.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from typing import Any

from fuseboard_cli.embedded import Embedded
from fuseboard_producer import Producer, Router
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from fuseboard_schema.redis_client import connect_redis

NAMESPACE = "choice"
MICROSECONDS = 1e6
ROOM_EVERY_CALLS = 1000


def print_choice(redis_url: str, providers: int = 10, calls: int = 20_000) -> dict[str, dict[str, float]]:
    """Measure on a server, print a line per way of asking, and return its microseconds at p50, p95 and p99."""
    names = [f"provider-{number}" for number in range(providers)]
    with connect_redis(redis_url) as redis:
        clock: Any = redis.time()
        entries = {
            name: json.dumps({"r": 1, "v": 1, "st": "closed", "ep": 1, "c": {"priority": rank}})
            for rank, name in enumerate(names)
        }
        redis.hset(name_snapshot(NAMESPACE), mapping={HEARTBEAT_FIELD: clock[0] * 1000, **entries})
    functions = dict.fromkeys(names, lambda attempt: attempt.provider)
    with (
        tempfile.TemporaryDirectory() as spool_dir,
        Producer(redis_url, namespace=NAMESPACE, spool_dir=spool_dir) as producer,
        Router(producer) as router,
    ):
        assert router.wait_until_ready(10)
        assert len(router.plan().candidates) == providers
        ways: dict[str, Callable[[], object]] = {
            "choose": router.choose,
            "may_call": lambda: router.may_call(names[-1]),
            "call": lambda: router.call(None, functions),
        }
        found = {name: _summarise(_time_calls(way, calls, producer)) for name, way in ways.items()}
    for name, figures in found.items():
        print(f"{name:10}", "  ".join(f"{share} {value:6.1f} us" for share, value in figures.items()))
    return found


def _time_calls(way: Callable[[], object], calls: int, producer: Producer) -> list[float]:
    taken = []
    for number in range(calls):
        began = time.perf_counter()
        way()
        taken.append((time.perf_counter() - began) * MICROSECONDS)
        if number % ROOM_EVERY_CALLS == 0:
            producer.wait_for_room(10)
    return sorted(taken)


def _summarise(taken: list[float]) -> dict[str, float]:
    return {f"p{percent}": taken[len(taken) * percent // 100] for percent in (50, 95, 99)}


def main() -> None:
    """Run it all on a server of its own."""
    parser = argparse.ArgumentParser(description="Measure what choosing a provider costs.")
    parser.add_argument("--providers", type=int, default=10)
    parser.add_argument("--calls", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Embedded(folder) as embedded:
        print_choice(embedded.redis_url, arguments.providers, arguments.calls)


if __name__ == "__main__":
    main()
