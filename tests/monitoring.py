"""A real Prometheus and a real API for it to scrape."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from compose import REPOSITORY
from fuseboard_schema.settings import Settings
from waiting import wait_until

DEPLOY: Final = REPOSITORY / "deploy"


def find_program(name: str) -> str:
    """Find a program of Debian's prometheus; without it the test is skipped, and fails in CI."""
    found = shutil.which(name)
    if found:
        return found
    reason = f"{name} is missing: on Debian and Ubuntu run  apt-get install --no-install-recommends prometheus"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def find_free_port() -> int:
    """Find a port of this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fetch_json(url: str, **parameters: str) -> Any:  # noqa: ANN401 - any JSON document
    """Fetch a JSON document; raises URLError for an answer that is none."""
    with urlopen(f"{url}?{urlencode(parameters)}", timeout=10) as answer:  # noqa: S310 - of this machine
        return json.load(answer)


@contextmanager
def running_api(settings: Settings, folder: Path) -> Iterator[int]:
    """Run `fuseboard api` as a process of its own; gives its port."""
    port = find_free_port()
    variables = {
        "DATABASE_URL": settings.database_url or "",
        "REDIS_URL": settings.redis_url or "",
        "FUSEBOARD_NAMESPACE": settings.namespace,
        "FUSEBOARD_SPOOL_DIR": str(folder / "spool"),
    }
    command = [sys.executable, "-m", "fuseboard_cli", "api", "--port", str(port)]
    with running(command, folder / "api.log", lambda: can_open(f"http://127.0.0.1:{port}/healthz"), **variables):
        yield port


@contextmanager
def running_prometheus(folder: Path, target: str, token: str) -> Iterator[str]:
    """Run a Prometheus by deploy/prometheus.yml, only faster, over one target; gives its URL."""
    program = find_program("prometheus")
    port = find_free_port()
    config = make_config(folder, target, token)
    command = [
        program,
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--log.level=warn",
    ]
    url = f"http://127.0.0.1:{port}"
    with running(command, folder / "prometheus.log", lambda: can_open(f"{url}/-/ready")):
        yield url


def make_config(folder: Path, target: str, token: str) -> Path:
    """Write deploy/prometheus.yml as it is but for places and haste."""
    secret = folder / "token"
    # as a shell writes it
    secret.write_text(f"{token}\n")
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    job["authorization"]["credentials_file"] = str(secret)
    job["static_configs"] = [{"targets": [target]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def can_open(url: str) -> bool:
    """Say whether a URL answers well."""
    try:
        with urlopen(url, timeout=10):  # noqa: S310 - of this machine
            return True
    except (URLError, OSError):
        return False


@contextmanager
def running(command: list[str], log: Path, is_ready: Callable[[], bool], **variables: str) -> Iterator[None]:
    """Run a process until the block ends; it must get ready, or its log is shown."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: process.poll() is not None or is_ready())
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.kill()
        process.wait()
