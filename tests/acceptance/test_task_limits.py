"""A task that its queue ends at its time limit ends then: that is no failure of the provider it was waiting for."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue

from producer_tools import read_events
from waiting import wait_until

TESTS = Path(__file__).parents[1]


@contextmanager
def run_worker(environment: dict[str, str], *arguments: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", *arguments], env=environment, cwd=TESTS)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def environment(redis_url: str, namespace: str, tmp_path: Path) -> dict[str, str]:
    # Celery takes a socket's URL in a form of its own
    broker = redis_url.replace("unix://", "redis+socket://") if redis_url.startswith("unix://") else redis_url
    return {
        **os.environ,
        "REDIS_URL": redis_url,
        "CELERY_BROKER_URL": broker,
        "FUSEBOARD_TEST_NAMESPACE": namespace,
        "FUSEBOARD_SPOOL_DIR": str(tmp_path),
        "PYTHONPATH": str(TESTS),
    }


@pytest.mark.parametrize(
    ("queue", "limit", "seen_by_task"),
    [("celery", "SoftTimeLimitExceeded", "ConnectionError"), ("rq", "JobTimeoutException", "JobTimeoutException")],
)
def test_a_tasks_own_limit_ends_it_and_counts_against_nobody(
    environment: dict[str, str], redis_client: Redis, namespace: str, queue: str, limit: str, seen_by_task: str
) -> None:
    if queue == "celery":
        call = [sys.executable, "-m", "celery", "-A", "limited_tasks", "call", "limited_tasks.ask_from_celery"]
        subprocess.run(call, env=environment, cwd=TESTS, check=True)
        worker = ["celery", "-A", "limited_tasks", "worker", "--pool", "prefork", "--concurrency", "1"]
    else:
        Queue(f"{namespace}-tasks", connection=redis_client).enqueue("limited_tasks.ask", "rq", job_timeout=1)
        worker = ["rq.cli", "worker", "--burst", "--url", environment["REDIS_URL"], f"{namespace}-tasks"]

    with run_worker(environment, *worker):
        wait_until(lambda: len(read_events(redis_client, namespace)) >= 2, 60)
        attempt, task = read_events(redis_client, namespace)

    # one attempt only: nobody else was asked in the time that was over
    assert (attempt["provider"], attempt["status"], attempt["error_type"]) == ("slow", "cancelled", limit)
    assert (task["provider"], task["error_type"]) == ("the task", seen_by_task)
