"""The probes of half-open circuits over HTTP: those that are out by Redis, those that were good by the database."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from api_tools import ApiClient, make_api_token, open_client
from consumers import make_settings
from fuseboard_consumer.publisher import publish_circuits
from fuseboard_producer.circuit_scripts import acquire_probe
from fuseboard_schema.circuit_keys import name_leases
from queries import Database
from stored_circuits import set_circuit_settings

PROBES = ("probes_out", "probes_allowed", "good_probes", "good_probes_needed")
HALF_OPEN = """
    UPDATE llm_provider_health SET state = 'open', epoch = 4, open_until = now(), circuit_window = '{"good_probes": 1}'
    WHERE provider = 'ollama'"""


@pytest.fixture
def token(connection: Database) -> str:
    return make_api_token(connection, "read")


@pytest.fixture
def api(database_url: str, redis_url: str, namespace: str, tmp_path: Path, token: str) -> Iterator[ApiClient]:
    settings = make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))
    with open_client(settings, token) as client:
        yield client


def read_probes(api: ApiClient, provider: str = "ollama") -> tuple[Any, ...]:
    (circuit,) = [row for row in api.get("/api/llm/circuits").json()["circuits"] if row["provider"] == provider]
    return tuple(circuit[name] for name in PROBES)


def test_the_leases_of_the_epoch_that_have_not_expired_are_the_probes_that_are_out(
    api: ApiClient, connection: Database, redis_client: Redis, namespace: str
) -> None:
    set_circuit_settings(connection, "ollama", half_open_max_probes=4, success_threshold=3)
    connection.execute(HALF_OPEN.encode())
    publish_circuits(connection, redis_client, namespace)
    assert read_probes(api) == (0, 4, 1, 3)

    for lease_id in ("one", "other"):
        assert acquire_probe(redis_client, namespace, "ollama", lease_id).admission == "probe"
    ahead_ms = 1000 * (redis_client.time()[0] + 3600)
    others = {"4:expired": 1, "3:of another epoch": ahead_ms, "of no epoch": ahead_ms}
    redis_client.zadd(name_leases(namespace, "ollama"), others)

    assert read_probes(api) == (2, 4, 1, 3)
    assert read_probes(api, "claude") == (None, None, None, None)


def test_settings_that_are_wrong_are_not_obeyed_and_not_shown(api: ApiClient, connection: Database) -> None:
    set_circuit_settings(connection, "ollama", half_open_max_probes="many")
    connection.execute(HALF_OPEN.encode())

    assert read_probes(api) == (0, 3, 1, 2)


def test_a_circuit_that_an_order_holds_has_no_probes(api: ApiClient, connection: Database) -> None:
    connection.execute(HALF_OPEN.encode())
    connection.execute("SELECT llm_force_circuit_open('ollama', 'anna', 'driver update')")

    assert read_probes(api) == (None, None, None, None)


def test_those_who_look_on_are_told_when_a_probe_goes_out(
    api: ApiClient, connection: Database, redis_client: Redis, namespace: str
) -> None:
    connection.execute(HALF_OPEN.encode())
    publish_circuits(connection, redis_client, namespace)

    with api.stream("GET", "/api/llm/events") as response:
        told = (json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if '"circuits"' in line)
        out = ({row["provider"]: row["probes_out"] for row in event["circuits"]}["ollama"] for event in told)
        assert next(out) == 0
        assert acquire_probe(redis_client, namespace, "ollama", "one").admission == "probe"
        assert next(out) == 1


def test_a_redis_that_never_answers_keeps_no_circuit_back(
    database_url: str, tmp_path: Path, token: str, connection: Database
) -> None:
    connection.execute(HALF_OPEN.encode())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings = make_settings(database_url, url, "silent", FUSEBOARD_SPOOL_DIR=str(tmp_path))
        with open_client(settings, token) as api:
            assert read_probes(api) == (None, 3, 1, 2)


def test_without_redis_the_circuits_are_told_all_the_same(
    database_url: str, tmp_path: Path, token: str, connection: Database
) -> None:
    connection.execute(HALF_OPEN.encode())
    settings = make_settings(database_url, "redis://127.0.0.1:1/0", "away", FUSEBOARD_SPOOL_DIR=str(tmp_path))

    with open_client(settings, token) as api:
        assert read_probes(api) == (None, 3, 1, 2)


def test_what_is_no_set_of_leases_stops_no_answer(
    api: ApiClient, connection: Database, redis_client: Redis, namespace: str
) -> None:
    connection.execute(HALF_OPEN.encode())
    redis_client.set(name_leases(namespace, "ollama"), "no set")

    assert read_probes(api) == (None, 3, 1, 2)
