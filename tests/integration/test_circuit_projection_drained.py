"""What a drain tells workers after a commit, without any sweep."""

import logging

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis

from consumers import drain_all, make_settings, shorten_waits
from events import add_entry, make_event
from fuseboard_consumer.publisher import publish_circuits
from fuseboard_producer.circuit_scripts import acquire_probe
from fuseboard_schema.circuit_keys import name_leases, name_snapshot
from fuseboard_schema.settings import Settings
from projections import read_entry
from queries import fetch_value

Database = Connection[TupleRow]


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(database_url, redis_url, namespace)


def make_failures(count: int, **fields: object) -> list[dict[str, object]]:
    failed = {"provider": "ollama", "status": "error", "error_type": "ConnectError", "circuit_epoch": 1, **fields}
    return [make_event(worker_id=f"w{number % 2}", **failed) for number in range(count)]


def test_a_circuit_that_opens_is_published_with_the_commit(
    settings: Settings, redis_client: Redis, namespace: str
) -> None:
    add_entry(redis_client, namespace, make_failures(5))

    drain_all(redis_client, settings)

    entry = read_entry(redis_client, namespace, "ollama")
    assert (entry["st"], entry["ep"], entry["v"]) == ("open", 2, 1)
    assert acquire_probe(redis_client, namespace, "ollama", "a").reason == "open"
    # the others have not changed
    assert redis_client.hkeys(name_snapshot(namespace)) == [b"ollama"]


def test_a_throttle_is_published_with_the_commit(settings: Settings, redis_client: Redis, namespace: str) -> None:
    told = {"status": "rate_limited", "http_status": 429, "retry_after_seconds": 600}
    add_entry(redis_client, namespace, make_failures(1, **told))

    drain_all(redis_client, settings)

    assert acquire_probe(redis_client, namespace, "ollama", "a").reason == "throttled"


def test_batches_that_change_no_circuit_publish_nothing(
    settings: Settings, redis_client: Redis, namespace: str
) -> None:
    add_entry(redis_client, namespace, make_failures(2) + [make_event() for _ in range(5)])

    drain_all(redis_client, settings)

    assert not redis_client.exists(name_snapshot(namespace))


def test_a_probe_that_told_nothing_gives_its_place_back_with_the_commit(
    connection: Database, settings: Settings, redis_client: Redis, namespace: str
) -> None:
    connection.execute(
        "UPDATE llm_provider_health SET state = 'open', epoch = 4, open_until = now() WHERE provider = 'ollama'"
    )
    publish_circuits(connection, redis_client, namespace)
    for lease_id in ("mine", "other"):
        assert acquire_probe(redis_client, namespace, "ollama", lease_id).admission == "probe"
    probe = {"circuit_epoch": 4, "admission": "probe", "lease_id": "mine"}
    add_entry(redis_client, namespace, make_failures(1, status="cancelled", error_type=None, **probe))

    drain_all(redis_client, settings)

    assert redis_client.zrange(name_leases(namespace, "ollama"), 0, -1) == [b"4:other"]


def test_a_publication_that_fails_stops_no_batch(
    connection: Database, settings: Settings, redis_client: Redis, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    redis_client.set(name_snapshot(namespace), "no hash")
    add_entry(redis_client, namespace, make_failures(5))

    with caplog.at_level(logging.WARNING):
        drain_all(redis_client, settings)

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 5
    failed = [message for message in caplog.messages if message.startswith("circuit_publish_failed")]
    assert len(failed) == 1
    assert failed[0].startswith("circuit_publish_failed providers=ollama error=")
