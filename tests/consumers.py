"""Consumers for tests: one that drains in this process, and real processes."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from fuseboard_consumer import drain as drain_module
from fuseboard_consumer.drain import Drain
from fuseboard_schema.settings import Settings, read_settings
from fuseboard_schema.stream import CONSUMER_GROUP, name_event_stream
from waiting import wait_until

RUN_CONSUMER = """
import logging
from fuseboard_consumer.worker import run_consumer
from fuseboard_schema.settings import read_settings
logging.basicConfig(level="INFO")
run_consumer(read_settings())
"""


def make_settings(database_url: str, redis_url: str, namespace: str, **variables: str) -> Settings:
    """Read settings as a process with these variables would."""
    variables |= {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "FUSEBOARD_NAMESPACE": namespace}
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        return read_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def running_drain(redis: Redis, settings: Settings) -> Iterator[list[BaseException]]:
    """Drain in a thread until the block ends; yields the list of what it raised, which is raised at the end."""
    stopping = threading.Event()
    drain = Drain(redis, settings, f"test-{threading.get_ident()}", stopping)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while not stopping.is_set():
                drain.run()
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread below
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield errors
    finally:
        stopping.set()
        thread.join()
        drain.close()
    if errors:
        raise errors[0]


def is_drained(redis: Redis, namespace: str) -> bool:
    """Say whether the stream holds nothing, waiting or unacknowledged."""
    return redis.xlen(name_event_stream(namespace)) == 0


def count_pending(redis: Redis, namespace: str) -> int:
    """Count the entries that were read and not acknowledged."""
    return int(redis.xpending(name_event_stream(namespace), CONSUMER_GROUP)["pending"])


def drain_all(redis: Redis, settings: Settings) -> None:
    """Drain what is in the stream."""
    with running_drain(redis, settings):
        wait_until(lambda: is_drained(redis, settings.namespace))


class ConsumerProcess:
    """A real consumer process, its log in a file."""

    def __init__(self, folder: Path, database_url: str, redis_url: str, namespace: str, **variables: str) -> None:
        self.log = folder / f"consumer-{len(list(folder.glob('consumer-*')))}.log"
        environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "FUSEBOARD_NAMESPACE": namespace,
            **variables,
        }
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN_CONSUMER], env=environment, stdout=out, stderr=subprocess.STDOUT
            )

    def logged(self, text: str) -> bool:
        """Say whether the process has logged a text."""
        return text in self.log.read_text()

    def count(self, text: str) -> int:
        """Count how often the process has logged a text."""
        return self.log.read_text().count(text)

    def stop(self, timeout_seconds: float = 10.0) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        return self.process.wait(timeout_seconds)


@contextmanager
def consumers(
    count: int, folder: Path, database_url: str, redis_url: str, namespace: str, **variables: str
) -> Iterator[list[ConsumerProcess]]:
    """Run real consumer processes; those that still live at the end are killed."""
    started: list[ConsumerProcess] = []
    try:
        started.extend(ConsumerProcess(folder, database_url, redis_url, namespace, **variables) for _ in range(count))
        yield started
    finally:
        for consumer in started:
            consumer.process.kill()
            consumer.process.wait()


def shorten_waits(set_attribute: Callable[[object, str, object], None]) -> None:
    """Make a drain in this process look at its stop flag often."""
    set_attribute(drain_module, "BLOCK_MS", 20)
    set_attribute(drain_module, "CLAIM_EVERY_SECONDS", 0.1)
