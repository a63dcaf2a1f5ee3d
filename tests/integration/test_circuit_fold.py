"""The circuit in the transaction of a batch: what it reads, writes, tells, and leaves alone."""

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from events import make_event
from fuseboard_consumer import circuit_store
from fuseboard_consumer.batch import BatchStore
from fuseboard_consumer.circuit_changes import CircuitChanges
from fuseboard_schema.database import connect_database
from queries import Database, fetch_row, fetch_value
from stored_circuits import fetch_circuit, fetch_transitions, set_circuit_settings
from stored_usage import store_batch
from waiting import wait_until

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
HEALTH = "SELECT * FROM llm_provider_health WHERE provider = 'claude'"


@pytest.fixture
def store(database_url: str) -> Iterator[BatchStore]:
    with closing(BatchStore(database_url)) as opened:
        yield opened


def make_failure(worker: int = 0, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    values = {"status": "error", "http_status": 503, "worker_id": f"w{worker}", "circuit_epoch": 1, **fields}
    return make_event(**values)


def make_failures(count: int = 5, **fields: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any field
    """Make failures of two workers in turn; five of them open a circuit."""
    return [make_failure(number % 2, **fields) for number in range(count)]


def test_failures_open_the_circuit_and_good_probes_close_it(
    store: BatchStore, connection: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    failures = make_failures()
    store_batch(store, failures)

    opened = fetch_circuit(connection).circuit
    assert (opened.state, opened.epoch, opened.version, opened.open_streak) == ("open", 2, 1, 1)
    assert store.take_changes() == CircuitChanges(frozenset(["claude"]))
    assert store.take_changes() == CircuitChanges()

    store_batch(store, [make_event(circuit_epoch=2, admission="probe", lease_id=f"l{n}") for n in range(2)])

    closed = fetch_circuit(connection).circuit
    assert (closed.state, closed.epoch, closed.version, closed.open_until) == ("closed", 3, 2, None)
    assert store.take_changes() == CircuitChanges(frozenset(["claude"]))
    opening, closing_ = fetch_transitions(connection)
    assert opening[1:6] == (1, "closed", "open", "consecutive", 2)
    assert (opening.at, opening.open_until) == (opened.epoch_started_at, opened.open_until)
    assert opening.cause_event_id == failures[-1]["event_id"].replace("-", "")
    assert (opening.calls, opening.bad, opening.slow, opening.actor, opening.note) == (5, 5, 0, None, None)
    assert closing_[1:6] == (2, "open", "closed", "probes_succeeded", 3)
    assert [(record.levelname, record.message) for record in caplog.records if "circuit" in record.message] == [
        ("WARNING", "circuit_transition provider=claude from=closed to=open reason=consecutive version=1 epoch=2"),
        ("INFO", "circuit_transition provider=claude from=open to=closed reason=probes_succeeded version=2 epoch=3"),
    ]


def test_a_batch_delivered_again_changes_nothing(store: BatchStore, connection: Database) -> None:
    events = [*make_failures(4), make_failure(http_status=429, retry_after_seconds=30)]
    store_batch(store, events)
    before = fetch_row(connection, HEALTH)
    store.take_changes()

    store_batch(store, events)
    store_batch(store, events[:2])

    assert fetch_row(connection, HEALTH) == before
    assert fetch_transitions(connection) == []
    assert store.take_changes() == CircuitChanges()


def test_an_event_twice_in_a_batch_counts_once_and_the_first_stays(store: BatchStore, connection: Database) -> None:
    failure, success = make_failure(), make_event(circuit_epoch=1)

    store_batch(store, [*[failure] * 10, success, success | {"status": "error"}, *make_failures(2)])

    assert [sum(column) for column in zip(*fetch_circuit(connection).window.cells, strict=True)][1:] == [4, 3, 0]
    store_batch(store, [failure, success, *make_failures(1)])
    assert [sum(column) for column in zip(*fetch_circuit(connection).window.cells, strict=True)][1:] == [5, 4, 0]


def test_one_id_on_two_days_is_two_calls_of_the_circuit(store: BatchStore, connection: Database) -> None:
    set_circuit_settings(connection, allowed_lateness_s=86_400.0, window_s=3600.0, min_calls=100)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    twin = make_event(occurred_at=midnight, circuit_epoch=1)
    evening = twin | {"occurred_at": (midnight - timedelta(seconds=1)).isoformat()}

    # one that comes twice makes the store look which ones were inserted
    store_batch(store, [twin, evening, twin, evening])

    assert [cell[:2] for cell in fetch_circuit(connection).window.cells] == [
        (midnight.timestamp() - 1, 1),
        (midnight.timestamp(), 1),
    ]


def test_what_a_rolled_back_batch_decided_never_was(store: BatchStore, connection: Database, database_url: str) -> None:
    known = make_event()
    store_batch(store, [known])
    # the conflict is kept after the fold, where this batch is stopped
    failures = [*make_failures(), known | {"model": "other"}]
    before = fetch_row(connection, HEALTH)
    pid = store.connection.info.backend_pid
    with connect_database(database_url, application_name="tests") as other, connection.transaction():
        connection.execute("LOCK llm_rejected_events IN EXCLUSIVE MODE")
        errors: list[BaseException] = []
        thread = threading.Thread(target=store_and_catch, args=(store, failures, errors))
        thread.start()
        wait_until(lambda: fetch_value(other, WAITING) == 1)
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        thread.join()
    assert isinstance(errors[0], psycopg.OperationalError)
    assert fetch_row(connection, HEALTH) == before
    assert store.take_changes() == CircuitChanges()

    store_batch(store, failures)

    assert [transition.version for transition in fetch_transitions(connection)] == [1]
    assert store.take_changes().providers == {"claude"}


def store_and_catch(store: BatchStore, events: list[dict[str, Any]], errors: list[BaseException]) -> None:
    try:
        store_batch(store, events)
    except psycopg.Error as error:
        errors.append(error)


def test_the_clock_and_the_row_are_those_after_the_lock(
    store: BatchStore, connection: Database, database_url: str
) -> None:
    providers = ["claude", "ollama", "openai"]
    # known from now on: making a row that somebody changes would wait as well
    store_batch(store, [make_event(provider=provider) for provider in providers])
    with connect_database(database_url, application_name="tests") as other:
        with connection.transaction():
            connection.execute("UPDATE llm_provider_health SET version = 6, epoch = 7 WHERE provider = 'claude'")
            events = [*make_failures(circuit_epoch=7), *(make_event(provider=provider) for provider in providers[1:])]
            thread = threading.Thread(target=store_batch, args=(store, events))
            thread.start()
            wait_until(lambda: fetch_value(other, f"{WAITING} AND query LIKE '-- Locks the health%'") == 1)
            released_at = fetch_value(connection, "SELECT extract(epoch FROM clock_timestamp())::float8")
        thread.join()

    (opening,) = fetch_transitions(connection)
    assert opening.at > released_at
    assert (opening.version, opening.epoch) == (7, 8)


def test_settings_changed_at_run_time_hold_from_the_next_batch(store: BatchStore, connection: Database) -> None:
    store_batch(store, make_failures(4))
    set_circuit_settings(connection, consecutive_failures=3, open_base_s=100.0, jitter_ratio=0.0)
    store_batch(store, make_failures(1))

    (opening,) = fetch_transitions(connection)
    assert opening.open_until == pytest.approx(opening.at + 100, abs=1e-5)


def test_malformed_settings_are_said_once_and_the_defaults_hold(
    store: BatchStore, connection: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def count_warnings() -> int:
        return sum("circuit_settings_malformed provider=odd" in record.message for record in caplog.records)

    circuit_store.read_circuit_settings.cache_clear()
    set_circuit_settings(connection, "odd", consecutive_failures="five")
    for failure in make_failures(4, provider="odd"):
        store_batch(store, [failure])
    assert count_warnings() == 1
    set_circuit_settings(connection, "odd", consecutive_failures=1, unheard_of=True)
    store_batch(store, make_failures(1, provider="odd"))

    assert count_warnings() == 2
    assert "unheard_of" in caplog.text
    assert [transition.reason for transition in fetch_transitions(connection, "odd")] == ["consecutive"]


@pytest.mark.parametrize("override", ["forced_open", "disabled"])
def test_an_override_is_respected_and_left_as_it_is(store: BatchStore, connection: Database, override: str) -> None:
    connection.execute(
        "UPDATE llm_provider_health SET override = %s, override_by = 'ann', override_reason = 'outage',"
        " override_until = now() + interval '1 hour', throttle_reset_revision = 3 WHERE provider = 'claude'",
        (override,),
    )
    before = fetch_circuit(connection)

    store_batch(store, [*make_failures(20), make_failure(http_status=429, retry_after_seconds=30)])

    after = fetch_circuit(connection)
    assert after.circuit._replace(throttle_until=None) == before.circuit
    assert (after.window, after.revision) == (before.window, before.revision + 1)
    # the provider's own wish holds under an override as well
    assert after.circuit.throttle_until is not None
    assert fetch_value(connection, "SELECT sum(throttle_reset_revision) FROM llm_provider_health") == 3
    assert fetch_transitions(connection) == []


def test_a_throttle_and_a_probe_that_told_nothing_are_to_be_published(store: BatchStore, connection: Database) -> None:
    store_batch(store, make_failures())
    store.take_changes()
    now = datetime.now(UTC)
    probe = {"circuit_epoch": 2, "admission": "probe", "status": "rate_limited"}

    store_batch(store, [
        make_event(occurred_at=now, retry_after_seconds=30, lease_id="one", **probe),
        make_event(provider="ollama", status="cancelled", circuit_epoch=1, admission="probe", lease_id="two"),
        make_event(provider="openai"),
    ])  # fmt: skip

    assert store.take_changes() == CircuitChanges(frozenset(["claude"]), (("claude", 2, "one"), ("ollama", 1, "two")))
    assert fetch_circuit(connection).circuit.throttle_until == pytest.approx(now.timestamp() + 30, abs=1e-6)


def test_what_the_first_half_changed_is_told_although_the_second_fails(
    store: BatchStore, connection: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("ALTER TABLE llm_requests ADD CHECK (model <> 'bad')")
    store_alone = store._store_alone

    def go_down(*_: object) -> None:
        # between two halves
        raise psycopg.OperationalError("down")

    monkeypatch.setattr(store, "_store_alone", go_down)
    events = [*make_failures(6), make_event(model="bad")]
    with pytest.raises(psycopg.OperationalError):
        store_batch(store, events)
    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 6
    assert store.take_changes().providers == {"claude"}

    monkeypatch.setattr(store, "_store_alone", store_alone)
    store_batch(store, events)

    assert [transition.version for transition in fetch_transitions(connection)] == [1]
    assert store.take_changes() == CircuitChanges()


def test_a_deleted_health_row_goes_on_where_its_history_ends(connection: Database, database_url: str) -> None:
    for epoch in (1, 3):
        with closing(BatchStore(database_url)) as store:
            store_batch(store, make_failures(circuit_epoch=epoch))
        connection.execute("DELETE FROM llm_provider_health WHERE provider = 'claude'")

    assert [(transition.version, transition.epoch) for transition in fetch_transitions(connection)] == [(1, 2), (2, 4)]
