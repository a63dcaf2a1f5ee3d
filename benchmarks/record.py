"""Measure what recording costs the caller: `Producer.record()` beside RQ's enqueue, a bare RPUSH and a bare XADD.

    python benchmarks/record.py [--events N] [--json]

Everything runs in this process against a server of its own, with the producer's flusher at work as in a real worker.
"""

import argparse
import json
import socket
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from fuseboard_cli.embedded import Embedded
from fuseboard_producer import Producer
from fuseboard_schema.redis_client import connect_redis

# a completed call as a router records it
FIELDS: dict[str, Any] = {
    "request_id": "5c0f7e0e-8f5e-4a3c-9a55-6d3c2f2b6f10",
    "attempt": 1,
    "http_status": 200,
    "prompt_tokens": 1874,
    "completion_tokens": 312,
    "cache_read_tokens": 1024,
    "duration_seconds": 2.713,
    "time_to_first_token_seconds": 0.412,
    "tags": {"team": "search", "feature": "summary"},
}
JOB_FIELDS: dict[str, Any] = FIELDS | {"provider": "claude", "model": "claude-sonnet-4-5", "status": "success"}
PACE_SECONDS = 0.001
ROOM_EVERY_EVENTS = 1000
MICROSECONDS = 1e6


def measure_calls(
    call: Callable[[], object], count: int, *, pace_seconds: float = 0.0, between: Callable[[], object] | None = None
) -> list[float]:
    """Time each of `count` calls, in microseconds, sorted; waiting and `between` are not timed."""
    taken = []
    for number in range(count):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * MICROSECONDS)
        if pace_seconds:
            time.sleep(pace_seconds)
        if between and number % ROOM_EVERY_EVENTS == 0:
            between()
    return sorted(taken)


def pick(sorted_values: list[float], share: float) -> float:
    """Pick a percentile."""
    return round(sorted_values[int(len(sorted_values) * share)], 2)


def measure_record(redis_url: str, spool: Path, count: int) -> dict[str, float]:
    """Time `record()`, back to back and at a worker's pace; nothing may be dropped or spooled meanwhile."""
    with Producer(redis_url, spool_dir=spool) as producer:

        def record() -> None:
            producer.record("claude", "claude-sonnet-4-5", **FIELDS)

        measure_calls(record, 2000)
        hot = measure_calls(record, count, between=lambda: producer.wait_for_room(60))
        paced = measure_calls(record, count // 50, pace_seconds=PACE_SECONDS)
        assert producer.flush(60)
        counters = producer.counters
    assert counters.sent == counters.recorded, counters
    return {
        "record_p50_us": pick(hot, 0.5),
        "record_p99_us": pick(hot, 0.99),
        "record_paced_p50_us": pick(paced, 0.5),
    }


def measure_others(redis: Redis, count: int) -> dict[str, float]:
    """Time what one would do without a producer, each with the same fields."""
    queue = Queue("bench", connection=redis, serializer=JSONSerializer)
    body = json.dumps(JOB_FIELDS)

    def enqueue() -> object:
        return queue.enqueue("jobs.record_request", kwargs=JOB_FIELDS, result_ttl=0, description="record")

    taken = {
        "enqueue": measure_calls(enqueue, count),
        "rpush": measure_calls(lambda: redis.rpush("bench:list", body), count),
        "xadd": measure_calls(lambda: redis.xadd("bench:stream", {"events": body}), count),
    }
    paced = measure_calls(enqueue, count // 10, pace_seconds=PACE_SECONDS)
    return {f"{name}_p50_us": pick(values, 0.5) for name, values in taken.items()} | {
        "enqueue_paced_p50_us": pick(paced, 0.5)
    }


def measure_full_buffer(spool: Path) -> dict[str, float]:
    """Record three buffers full while Redis accepts connections and never answers: the worst case for memory."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        producer = Producer(f"redis://127.0.0.1:{silent.getsockname()[1]}", spool_dir=spool)
        tracemalloc.start()
        for number in range(60_000):
            producer.record("claude", "claude-sonnet-4-5", **FIELDS | {"request_id": f"request-{number}"})
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        counters = producer.counters
        producer.close(1.0)
    return {
        "full_buffer_events": counters.buffer_events,
        "full_buffer_dropped": counters.dropped,
        "full_buffer_peak_mb": round(peak_bytes / 1e6, 1),
    }


def measure(count: int) -> dict[str, float]:
    """Run all measurements and relate them."""
    with tempfile.TemporaryDirectory(prefix="fuseboard-bench-") as folder:
        root = Path(folder)
        with Embedded(root / "servers") as servers, connect_redis(servers.redis_url) as redis:
            figures = measure_record(servers.redis_url, root / "spool", count) | measure_others(redis, count // 20)
        figures |= measure_full_buffer(root / "spool")
    record = figures["record_p50_us"]
    ratios = {f"ratio_{name}": round(figures[f"{name}_p50_us"] / record, 1) for name in ("enqueue", "rpush", "xadd")}
    return figures | ratios


def main() -> None:
    """Print the figures, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--events", type=int, default=100_000, help="calls of record(); the others are timed less often"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.events < 1000:
        parser.error("--events must be at least 1000")
    figures = measure(options.events)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:24} {value:>12,.2f}")


if __name__ == "__main__":
    main()
