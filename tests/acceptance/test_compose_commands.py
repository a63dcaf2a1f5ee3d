import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis import Redis

from compose import interpolate, parse_seconds, read_compose
from events import add_entry, make_event
from fuseboard_schema.database import connect_database
from waiting import wait_until

SERVICES: dict[str, dict[str, Any]] = read_compose()["services"]
PASSWORDS = {"POSTGRES_PASSWORD": "p", "REDIS_PASSWORD": "r"}
COMMAND = [sys.executable, "-m", "fuseboard_cli"]
DAILY = b"SELECT count(*) FROM llm_costs_daily"


def make_environment(service: str, database_url: str, redis_url: str, namespace: str) -> dict[str, str]:
    """Make the environment of a service of the compose file, with our servers in place of its own."""
    settings = {name: interpolate(value, PASSWORDS) for name, value in SERVICES[service]["environment"].items()}
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "FUSEBOARD_NAMESPACE": namespace}
    assert servers.keys() <= settings.keys()
    return {**os.environ, **settings, **servers, "FUSEBOARD_FOLD_INTERVAL_SECONDS": "1"}


@contextmanager
def running(service: str, environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service's command; one that still lives at the end is killed."""
    with (folder / f"{service}.log").open("wb") as log:
        command = [*COMMAND, *SERVICES[service]["command"]]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_commands_of_the_compose_file_bring_an_event_into_its_day_and_stop_in_time(
    empty_database_url: str, redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path
) -> None:
    where = (empty_database_url, redis_url, namespace)
    environments = {name: make_environment(name, *where) for name in ("migrate", "consumer", "aggregator")}
    with running("migrate", environments["migrate"], tmp_path) as migrate:
        assert migrate.wait(60) == 0, (tmp_path / "migrate.log").read_text()

    with (
        running("consumer", environments["consumer"], tmp_path) as consumer,
        running("aggregator", environments["aggregator"], tmp_path) as aggregator,
        connect_database(empty_database_url, application_name="tests") as connection,
    ):
        add_entry(redis_client, namespace, [make_event(occurred_at=datetime.now(UTC))])
        wait_until(lambda: connection.execute(DAILY).fetchone() == (1,))
        for name in ("consumer", "aggregator"):
            check_health(name, environments[name], tmp_path)
        for name, process in (("consumer", consumer), ("aggregator", aggregator)):
            process.send_signal(signal.SIGTERM)
            assert process.wait(parse_seconds(SERVICES[name]["stop_grace_period"])) == 0


def check_health(service: str, environment: dict[str, str], folder: Path) -> None:
    command = [*COMMAND, *SERVICES[service]["healthcheck"]["test"][2:]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=folder, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
