"""The sweeps that bring Redis to what PostgreSQL has."""

import logging
import time

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis

from fuseboard_consumer.publisher import Published, publish_circuits
from fuseboard_consumer.sweep import PROGRESS_SECONDS, Sweep
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from fuseboard_schema.stream import name_event_stream
from projections import read_entry
from queries import fetch_value
from sweepers import know_no_progress, sweeping
from waiting import wait_until

Database = Connection[TupleRow]
SEEDED = {b"claude", b"localai", b"ollama", b"openai"}


def has_heartbeat(redis: Redis, namespace: str) -> bool:
    return bool(redis.hexists(name_snapshot(namespace), HEARTBEAT_FIELD))


def read_heartbeat(redis: Redis, namespace: str) -> object:
    return redis.hget(name_snapshot(namespace), HEARTBEAT_FIELD)


def change_health(connection: Database, assignments: str) -> None:
    """Change what is known of ollama as a batch or an order would, without telling anybody."""
    query = f"UPDATE llm_provider_health SET {assignments} WHERE provider = 'ollama'"  # noqa: S608 - the tests' own
    connection.execute(query.encode())


def test_everything_is_published_at_first_and_the_heartbeat_last(
    database_url: str, redis_url: str, redis_client: Redis, namespace: str
) -> None:
    with sweeping(database_url, redis_url, namespace):
        wait_until(lambda: has_heartbeat(redis_client, namespace))

        assert set(redis_client.hkeys(name_snapshot(namespace))) == SEEDED | {HEARTBEAT_FIELD.encode()}


def test_a_publication_that_was_lost_is_made_up_for(
    connection: Database, database_url: str, redis_url: str, redis_client: Redis, namespace: str
) -> None:
    with sweeping(database_url, redis_url, namespace):
        wait_until(lambda: has_heartbeat(redis_client, namespace))
        change_health(connection, "state = 'open', open_until = now() + interval '1 hour', revision = revision + 1")

        wait_until(lambda: read_entry(redis_client, namespace, "ollama")["st"] == "open")


def test_an_emptied_redis_is_filled_again(connection: Database, redis_client: Redis, namespace: str) -> None:
    sweep = Sweep(redis_client, namespace, know_no_progress)
    sweep.run(connection)
    for field in (HEARTBEAT_FIELD, None):
        if field is None:
            redis_client.delete(name_snapshot(namespace))
        else:
            redis_client.hdel(name_snapshot(namespace), field, "ollama")
        sweep.run(connection)

        assert set(redis_client.hkeys(name_snapshot(namespace))) == SEEDED | {HEARTBEAT_FIELD.encode()}


def test_between_full_publications_only_what_changed_is_published(
    connection: Database, redis_client: Redis, namespace: str
) -> None:
    sweep = Sweep(redis_client, namespace, know_no_progress)
    sweep.run(connection)
    redis_client.hdel(name_snapshot(namespace), "ollama", "claude")
    change_health(connection, "epoch = 9, revision = revision + 1")

    sweep.run(connection)

    assert read_entry(redis_client, namespace, "ollama")["ep"] == 9
    assert not redis_client.hexists(name_snapshot(namespace), "claude")


def test_another_sweeper_takes_over_from_one_that_ended(
    connection: Database, database_url: str, redis_url: str, redis_client: Redis, namespace: str
) -> None:
    with (
        sweeping(database_url, redis_url, namespace) as stop_first,
        sweeping(database_url, redis_url, namespace),
    ):
        wait_until(lambda: has_heartbeat(redis_client, namespace))
        query = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert fetch_value(connection, query) == 1
        stop_first()
        redis_client.delete(name_snapshot(namespace))

        wait_until(lambda: has_heartbeat(redis_client, namespace))
        assert fetch_value(connection, query) == 1


def test_the_heartbeat_stops_while_events_wait_and_no_batch_is_done(
    connection: Database, redis_client: Redis, namespace: str
) -> None:
    own_ages: list[float] = []
    sweep = Sweep(redis_client, namespace, lambda: time.monotonic() - own_ages[0] if own_ages else None)
    redis_client.xadd(name_event_stream(namespace), {"events": "[]"})
    idle = f"updated_at = now() - interval '{PROGRESS_SECONDS + 60} seconds'".encode()
    connection.execute(b"UPDATE llm_provider_health SET " + idle)

    sweep.run(connection)
    assert set(redis_client.hkeys(name_snapshot(namespace))) == SEEDED

    # any consumer's batch shows it
    connection.execute("UPDATE llm_provider_health SET updated_at = now() WHERE provider = 'ollama'")
    sweep.run(connection)
    beats = [read_heartbeat(redis_client, namespace)]

    connection.execute(b"UPDATE llm_provider_health SET " + idle)
    sweep.run(connection)
    beats.append(read_heartbeat(redis_client, namespace))

    # this process's as well, even one in which every event was known already
    own_ages.append(PROGRESS_SECONDS / 2)
    sweep.run(connection)
    beats.append(read_heartbeat(redis_client, namespace))

    own_ages[0] = PROGRESS_SECONDS * 2
    sweep.run(connection)
    beats.append(read_heartbeat(redis_client, namespace))

    # nothing waits
    redis_client.delete(name_event_stream(namespace))
    sweep.run(connection)
    beats.append(read_heartbeat(redis_client, namespace))

    first, stalled, second, stalled_again, third = beats
    assert first is not None
    assert (stalled, stalled_again) == (first, second)
    assert len({first, second, third}) == 3


def test_a_full_publication_while_nothing_moves_leaves_the_old_heartbeat(
    connection: Database, redis_client: Redis, namespace: str
) -> None:
    redis_client.hset(name_snapshot(namespace), HEARTBEAT_FIELD, "12345")
    redis_client.xadd(name_event_stream(namespace), {"events": "[]"})
    connection.execute("UPDATE llm_provider_health SET updated_at = now() - interval '1 hour'")

    Sweep(redis_client, namespace, know_no_progress).run(connection)

    assert set(redis_client.hkeys(name_snapshot(namespace))) == SEEDED | {HEARTBEAT_FIELD.encode()}
    assert read_heartbeat(redis_client, namespace) == b"12345"


def test_an_override_ends_when_its_time_has_come(connection: Database, redis_client: Redis, namespace: str) -> None:
    sweep = Sweep(redis_client, namespace, know_no_progress)
    connection.execute("SELECT llm_force_circuit_open('ollama', 'ada', 'update', now() + interval '1 hour')")
    sweep.run(connection)
    assert read_entry(redis_client, namespace, "ollama")["ov"] == "forced_open"
    change_health(connection, "override_until = now()")

    sweep.run(connection)

    assert read_entry(redis_client, namespace, "ollama")["ov"] is None


@pytest.mark.parametrize(
    ("order", "key", "expected"),
    [
        ("SELECT llm_force_circuit_open('ollama', 'ada', 'update')", "ov", "forced_open"),
        ("UPDATE llm_providers SET enabled = false WHERE name = 'ollama'", "enabled", False),
        (
            "UPDATE llm_prices SET input_usd_per_token = 0.25 WHERE provider = 'ollama'",
            "input_usd_per_token",
            "0.25",
        ),
    ],
)
def test_an_order_given_in_sql_is_published_without_waiting_for_the_next_sweep(
    connection: Database,
    database_url: str,
    redis_url: str,
    redis_client: Redis,
    namespace: str,
    order: str,
    key: str,
    expected: object,
) -> None:
    with sweeping(database_url, redis_url, namespace, every_seconds=600):
        wait_until(lambda: has_heartbeat(redis_client, namespace))
        connection.execute(order.encode())

        def read() -> object:
            entry = read_entry(redis_client, namespace, "ollama")
            return (entry | entry["c"])[key]

        wait_until(lambda: read() == expected)


def test_a_provider_that_was_deleted_leaves_redis_with_the_next_full_publication(
    connection: Database, redis_client: Redis, namespace: str
) -> None:
    publish_circuits(connection, redis_client, namespace)
    connection.execute("DELETE FROM llm_providers WHERE name = 'openai'")

    Sweep(redis_client, namespace, know_no_progress).run(connection)

    assert set(redis_client.hkeys(name_snapshot(namespace))) == SEEDED - {b"openai"} | {HEARTBEAT_FIELD.encode()}


def test_a_database_that_was_set_back_is_published_again(
    connection: Database, redis_client: Redis, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    change_health(connection, "revision = 500, epoch = 50")
    publish_circuits(connection, redis_client, namespace)
    # as a backup of some time ago
    change_health(connection, "revision = 20, epoch = 2")
    sweep = Sweep(redis_client, namespace, know_no_progress)

    sweep.run(connection)
    # a revision could have been committed and published between reading and publishing
    assert read_entry(redis_client, namespace, "ollama")["ep"] == 50
    change_health(connection, "revision = 21, epoch = 3")
    with caplog.at_level(logging.WARNING):
        sweep.run(connection)

    entry = read_entry(redis_client, namespace, "ollama")
    assert (entry["r"], entry["ep"]) == (21, 3)
    assert caplog.messages == ["circuit_revisions_lost provider=ollama redis=500 database=21"]


def test_a_sweep_that_another_publisher_was_faster_than_loses_nothing(
    connection: Database, redis_client: Redis, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = Sweep(redis_client, namespace, know_no_progress)
    for epoch in range(2, 6):
        change_health(connection, f"epoch = {epoch}, revision = revision + 1")
        publish_circuits(connection, redis_client, namespace)
        sweep.run(connection)

        assert read_entry(redis_client, namespace, "ollama")["ep"] == epoch
    assert not caplog.messages


def test_a_database_that_has_caught_up_has_lost_nothing(redis_client: Redis, namespace: str) -> None:
    sweep = Sweep(redis_client, namespace, know_no_progress)

    assert not sweep._has_lost_revisions(Published("ollama", 4, is_applied=False, stored_revision=5))
    assert not sweep._has_lost_revisions(Published("ollama", 5, is_applied=False, stored_revision=6))
    assert sweep._has_lost_revisions(Published("ollama", 5, is_applied=False, stored_revision=6))
