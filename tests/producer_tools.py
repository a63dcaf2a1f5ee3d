"""Producers in tests: a Redis of one's own, what the stream and the spool hold, scripts in real processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis

from fuseboard_cli.embedded_files import make_socket_folder
from fuseboard_cli.embedded_redis import make_redis_url, plan_redis
from fuseboard_cli.embedded_server import Server
from fuseboard_producer.segment import lock_segment, read_content
from fuseboard_schema.stream import ENTRY_FIELD, name_event_stream


class PrivateRedis(NamedTuple):
    """A server that the test may stop, kill, start again and configure."""

    url: str
    server: Server


@contextmanager
def run_private_redis(root: Path) -> Iterator[PrivateRedis]:
    """Run a Valkey of one's own with its data below `root`."""
    server = Server(plan_redis(root, make_socket_folder(root)), root)
    server.start()
    try:
        yield PrivateRedis(make_redis_url(server.plan), server)
    finally:
        server.stop()


def read_entries(redis: Redis, namespace: str) -> list[list[dict[str, Any]]]:
    """Read the stream: one list of events per entry, in order."""
    entries: Any = redis.xrange(name_event_stream(namespace))
    return [json.loads(fields[ENTRY_FIELD.encode()]) for _, fields in entries]


def read_events(redis: Redis, namespace: str) -> list[dict[str, Any]]:
    """Read all events of the stream, in order, as often as they are there."""
    return [event for entry in read_entries(redis, namespace) for event in entry]


def read_spool(directory: Path) -> list[dict[str, Any]]:
    """Read the events that wait in a spool, oldest first."""
    events: list[dict[str, Any]] = []
    for path in sorted(directory.glob("*.spool")):
        with lock_segment(path) as descriptor:
            # its producer may have sent it meanwhile
            lines = [] if descriptor is None else read_content(descriptor).lines
        for line in lines:
            events += json.loads(line.entry.payload)
    return events


def start_script(source: str, *arguments: object, **variables: str) -> subprocess.Popen[str]:
    """Start a program in a Python of its own; it reads `arguments` from sys.argv."""
    # from Python 3.12 on a fork beside threads is warned of; that it goes well is what some tests show
    warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    return subprocess.Popen(
        [sys.executable, *warnings, "-c", source, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
        start_new_session=True,
    )


def run_script(source: str, *arguments: object, **variables: str) -> str:
    """Run a program to its good end and return what it printed."""
    with start_script(source, *arguments, **variables) as process:
        try:
            out, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            # its children too
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, errors
    return out
