"""Measure ingestion: events per second from the stream to committed rows, beside COPY and one RQ job per event.

    python benchmarks/ingest.py [--events N] [--consumers N] [--tags N] [--json]

All yardsticks run in the same call, on servers of their own, into tables of the same shape.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer

from fuseboard_cli.embedded import Embedded
from fuseboard_consumer.decode import decode_entries
from fuseboard_consumer.entries import Entry
from fuseboard_consumer.rows import STAGED_COLUMNS, build_rows
from fuseboard_consumer.store import Database
from fuseboard_schema.database import connect_database
from fuseboard_schema.identifiers import make_event_id
from fuseboard_schema.migrate import migrate
from fuseboard_schema.price_store import select_prices
from fuseboard_schema.pricing import PriceBook
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.stream import ENTRY_FIELD, FLUSH_MAX_EVENTS, name_event_stream

NAMESPACE = "bench"
RUN_CONSUMER = (
    "from fuseboard_consumer.worker import run_consumer; from fuseboard_schema.settings import read_settings;"
    "run_consumer(read_settings())"
)
# COPY takes the column of the table where the staging table has seconds since 1970 and a position
COPY_COLUMNS = tuple("occurred_at" if name == "occurred_at_us" else name for name in STAGED_COLUMNS[1:])
KEPT_TAGS = ("team", "feature", "tenant")
JOB_EVENTS = {"rq_fork": 60, "rq_simple": 600}


def make_events(count: int, tags: int = 0) -> list[dict[str, Any]]:
    """Make events as workers send them: four providers, a few models, one in twenty failed; of the last minute.

    So the circuits count every one of them. Each has as many `tags` of those whose cost is kept.
    """
    randomness = random.Random(7)  # noqa: S311 - traffic, not secrets
    start = datetime.now(UTC) - timedelta(seconds=60)
    events = []
    for number in range(count):
        at = start + timedelta(seconds=60 * number / count)
        event: dict[str, Any] = {
            "event_id": make_event_id(at),
            "request_id": f"request-{number}",
            "occurred_at": at.isoformat(),
            "provider": randomness.choice(("ollama", "localai", "claude", "openai")),
            "model": f"model-{number % 5}",
            "worker_id": f"host-{number % 8}:4711",
            "circuit_epoch": 1,
            "admission": "normal",
            "duration_seconds": round(randomness.lognormvariate(0.5, 0.8), 6),
        }
        if number % 20:
            tokens = {"prompt_tokens": randomness.randint(20, 4000), "completion_tokens": randomness.randint(1, 800)}
            event |= {"status": "success", **tokens}
        else:
            event |= {"status": "error", "error_type": "ReadError", "http_status": 502}
        if tags:
            event["tags"] = {key: f"{key}-{number % 12}" for key in KEPT_TAGS[:tags]}
        events.append(event)
    return events


def split_flushes(events: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Split events into flushes of the size that a busy producer makes."""
    for start in range(0, len(events), FLUSH_MAX_EVENTS):
        yield events[start : start + FLUSH_MAX_EVENTS]


def fill_stream(redis: Redis, events: list[dict[str, Any]]) -> float:
    """Put the events into the stream, visible to consumers all at once; returns the time at which they are."""
    with redis.pipeline(transaction=True) as pipeline:
        for flush in split_flushes(events):
            pipeline.xadd(name_event_stream(NAMESPACE), {ENTRY_FIELD: json.dumps(flush, separators=(",", ":"))})
        started = time.perf_counter()
        pipeline.execute()
    return started


def empty_tables(database: Database) -> None:
    """Empty what an ingestion writes."""
    database.execute("TRUNCATE llm_requests, llm_usage_deltas, llm_tag_deltas, llm_rejected_events")
    database.execute("CHECKPOINT")


@contextmanager
def running_consumers(count: int, embedded: Embedded) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run consumer processes until the block ends."""
    environment = {
        **os.environ,
        "DATABASE_URL": embedded.database_url,
        "REDIS_URL": embedded.redis_url,
        "FUSEBOARD_NAMESPACE": NAMESPACE,
    }
    started = [subprocess.Popen([sys.executable, "-c", RUN_CONSUMER], env=environment) for _ in range(count)]  # noqa: S603
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def wait_for_requests(database: Database, redis: Redis, count: int) -> None:
    """Wait until the stream is acknowledged to its end, which costs Redis nothing to tell; the rows are there then."""
    while redis.xlen(name_event_stream(NAMESPACE)):
        time.sleep(0.002)
    stored = database.execute("SELECT sum(requests) FROM llm_usage_deltas").fetchone()
    assert stored == (count,), f"{stored} requests are stored, not {count}"


def measure_ingest(
    events: list[dict[str, Any]], consumers: int, embedded: Embedded, database: Database, redis: Redis
) -> dict[str, float]:
    """Measure the pipeline: consumers already run and are warm when the stream is filled at once."""
    empty_tables(database)
    with running_consumers(consumers, embedded) as processes:
        warm = make_events(4000 * consumers)
        fill_stream(redis, warm)
        wait_for_requests(database, redis, len(warm))
        started = fill_stream(redis, events)
        wait_for_requests(database, redis, len(warm) + len(events))
        seconds = time.perf_counter() - started
        peak = max(read_peak_mb(process.pid) for process in processes)
    return {"events_per_second": len(events) / seconds, "consumer_peak_mb": peak}


def read_peak_mb(pid: int) -> float:
    """Read the most memory a process ever had, in megabytes (VmHWM of proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def lay_out_rows(events: list[dict[str, Any]], database: Database) -> list[tuple[Any, ...]]:
    """Make the same rows that the pipeline stores, ready to be copied."""
    book = PriceBook(select_prices(database), ("claude", "claude"))
    entries = [Entry("0-0", json.dumps(flush).encode()) for flush in split_flushes(events)]
    accepted = decode_entries(entries, datetime.now(UTC)).accepted
    rows = build_rows(accepted, book)
    return [(row[1], event.occurred_at, *row[3:]) for row, event in zip(rows, accepted.events, strict=True)]


def measure_copy(rows: list[tuple[Any, ...]], database: Database) -> float:
    """Measure the limit: one COPY of the same rows into the same partitioned, indexed table."""
    empty_tables(database)
    started = time.perf_counter()
    statement = f"COPY llm_requests ({', '.join(COPY_COLUMNS)}) FROM STDIN".encode()
    with database.transaction(), database.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
    return len(rows) / (time.perf_counter() - started)


def insert_event(event: dict[str, Any]) -> None:
    """Insert one event, as a home-made `queue.enqueue(save_request, ...)` does."""
    global _database  # noqa: PLW0603 - the usual way to keep a connection between jobs
    if _database is None:
        _database = connect_database(os.environ["DATABASE_URL"], application_name="bench")
    names = [*event, "attempt", "is_fallback", "usage_source", "service_tier"]
    values = [*event.values(), 1, False, "provider", "standard"]
    places = ", ".join(["%s"] * len(names))
    _database.execute(f"INSERT INTO llm_requests ({', '.join(names)}) VALUES ({places})".encode(), values)  # noqa: S608 - our own names


_database: Database | None = None


def measure_rq(worker_class: type[Worker | SimpleWorker], events: list[dict[str, Any]], embedded: Embedded) -> float:
    """Measure one RQ job per event with an INSERT each, in the worker class given, burst mode, already queued."""
    os.environ["DATABASE_URL"] = embedded.database_url
    redis = Redis.from_url(embedded.redis_url)
    queue = Queue(worker_class.__name__, connection=redis, serializer=JSONSerializer)
    for event in events:
        queue.enqueue(f"{Path(__file__).stem}.insert_event", event, result_ttl=0, description="event")
    worker = worker_class([queue], connection=redis, serializer=JSONSerializer, log_job_description=False)
    started = time.perf_counter()
    worker.work(burst=True, logging_level="ERROR")
    return len(events) / (time.perf_counter() - started)


def measure_all(event_count: int, consumers: int, tags: int, progress: Callable[[str], None]) -> dict[str, float]:
    """Run the pipeline and the yardsticks on one pair of fresh servers."""
    with tempfile.TemporaryDirectory(prefix="fuseboard-bench-") as root, Embedded(root) as embedded:
        redis = connect_redis(embedded.redis_url)
        with connect_database(
            embedded.database_url, application_name="bench", statement_timeout_seconds=600
        ) as database:
            migrate(database)
            events = make_events(event_count, tags)
            for day in sorted({event["occurred_at"][:10] for event in events}):
                database.execute("SELECT ensure_request_partition(%s)", (day,))
            rows = lay_out_rows(events, database)
            progress("copy")
            measure_copy(rows[: len(rows) // 4], database)
            copy_rate = measure_copy(rows, database)
            progress(f"pipeline, {consumers} consumer(s)")
            result = measure_ingest(events, consumers, embedded, database, redis)
            progress("copy again")
            copy_rate = (copy_rate + measure_copy(rows, database)) / 2
            empty_tables(database)
            progress("one RQ job per event, forking worker")
            fork_rate = measure_rq(Worker, events[: JOB_EVENTS["rq_fork"]], embedded)
            progress("one RQ job per event, SimpleWorker")
            simple_rate = measure_rq(SimpleWorker, events[-JOB_EVENTS["rq_simple"] :], embedded)
    rate = result["events_per_second"]
    return {
        "events": event_count,
        "consumers": consumers,
        "tags": tags,
        **result,
        "copy_events_per_second": copy_rate,
        "rq_fork_events_per_second": fork_rate,
        "rq_simple_events_per_second": simple_rate,
        "ratio_copy": rate / copy_rate,
        "ratio_rq_fork": rate / fork_rate,
        "ratio_rq_simple": rate / simple_rate,
    }


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--consumers", type=int, default=1)
    parser.add_argument("--tags", type=int, default=0, choices=range(len(KEPT_TAGS) + 1))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    progress = lambda step: print(f"... {step}", file=sys.stderr)  # noqa: E731 - a function of one line
    result = measure_all(arguments.events, arguments.consumers, arguments.tags, progress)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:32}{value:16,.2f}")


if __name__ == "__main__":
    main()
