"""Operators' orders in SQL, held together with the pure table of consumer/fuseboard_consumer/circuit_controls.py."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from fuseboard_consumer import circuit_controls as controls
from fuseboard_consumer.circuit_controls import SWEEPER, Order
from fuseboard_consumer.circuit_state import Circuit, Override, Transition, find_effective_state
from fuseboard_schema.database import connect_database
from queries import Database, fetch_row, fetch_value
from waiting import wait_until

ORDERS = {
    "llm_force_circuit_open": controls.force_open,
    "llm_disable_circuit": controls.disable_circuit,
    "llm_clear_circuit_override": controls.clear_override,
    "llm_reset_circuit": controls.reset_circuit,
    "llm_reset_circuit_throttle": controls.reset_throttle,
}
ENDING = ("llm_force_circuit_open", "llm_disable_circuit")
TIMES = {"epoch_started_at", "open_until", "throttle_until", "override_until"}
HEALTH = "SELECT * FROM llm_provider_health WHERE provider = 'ollama'"

# seconds from now; no test takes so long that one of them passes meanwhile
offsets = st.sampled_from([-5000.25, -1000.000001, 1000.5, 9000.0])
words = st.text("abc ümlaut'%\\", min_size=1).filter(str.strip)
orders = st.tuples(st.sampled_from([*ORDERS, "llm_expire_circuit_overrides"]), words, words, st.none() | offsets)


@st.composite
def circuits(draw: st.DrawFn) -> Circuit:
    """Make a circuit whose times are seconds from now."""
    override: Override | None = draw(st.sampled_from([None, "forced_open", "disabled"]))
    return Circuit(
        "ollama",
        draw(st.sampled_from(["closed", "open"])),
        draw(st.integers(1, 99)),
        -9000.0,
        draw(st.integers(0, 99)),
        draw(st.none() | offsets),
        draw(st.integers(0, 9)),
        draw(st.none() | offsets),
        draw(st.integers(0, 9)),
        override,
        override and draw(words),
        override and draw(words),
        draw(st.none() | offsets) if override else None,
    )


def make_time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(seconds * 1e6))


def make_row(circuit: Circuit) -> dict[str, Any]:
    fields = circuit._asdict()
    del fields["target"]
    return {name: make_time(value) if name in TIMES else value for name, value in fields.items()}


def make_transition_row(transition: Transition) -> dict[str, Any]:
    fields = transition._asdict()
    times = {"occurred_at": make_time(fields.pop("at")), "open_until": make_time(fields.pop("open_until"))}
    return {"provider": fields.pop("target"), **fields, **times}


def write_circuit(connection: Database, circuit: Circuit) -> None:
    columns = make_row(circuit)
    connection.execute("DELETE FROM llm_circuit_transitions")
    values = ", ".join(f"{name} = %({name})s" for name in columns)
    statement = f"UPDATE llm_provider_health SET {values} WHERE provider = 'ollama'"  # noqa: S608 - names of columns
    connection.execute(statement.encode(), columns)
    connection.execute(
        b"""UPDATE llm_provider_health SET circuit_window = '{"good_probes": 1}', updated_at = '2026-01-01'"""
    )


def give_order(connection: Database, name: str, *arguments: object) -> dict[str, Any]:
    """Call the function and read the transition that it gives, which is the one it wrote."""
    places = ", ".join(["%s"] * len(arguments))
    with connection.cursor(row_factory=dict_row) as cursor:
        statement = f"SELECT * FROM {name}({places})"  # noqa: S608 - a name of ours
        done = cursor.execute(statement.encode(), arguments).fetchone()
    assert done is not None
    return done


def shift(circuit: Circuit, base: float) -> Circuit:
    times = {name: round(base + getattr(circuit, name), 6) for name in TIMES if getattr(circuit, name) is not None}
    return circuit._replace(**times)


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(circuits(), st.lists(orders, min_size=1, max_size=5))
def test_an_order_in_sql_is_the_one_of_the_pure_table(
    connection: Database, circuit: Circuit, given_orders: list[tuple[str, str, str, float | None]]
) -> None:
    base = float(int(datetime.now(UTC).timestamp()))
    circuit = shift(circuit, base)
    write_circuit(connection, circuit)
    for name, actor, reason, offset in given_orders:
        before = fetch_row(connection, HEALTH)
        until = base + offset if offset is not None and offset > 0 and name in ENDING else None
        if name == "llm_expire_circuit_overrides":
            expired = [row[0] for row in connection.execute(b"SELECT llm_expire_circuit_overrides()")]
            controlled = controls.expire_override(circuit, datetime.now(UTC).timestamp())
            assert expired == ([] if controlled is None else ["ollama"])
            if controlled is None:
                assert fetch_row(connection, HEALTH) == before
                continue
            done = fetch_row(connection, "SELECT * FROM llm_circuit_transitions ORDER BY version DESC LIMIT 1")
            controlled = controls.expire_override(circuit, done["occurred_at"].timestamp())
        else:
            ends = (make_time(until),) if name in ENDING else ()
            done = give_order(connection, name, "ollama", actor, reason, *ends)
            controlled = ORDERS[name](circuit, Order(actor, reason, until), done["occurred_at"].timestamp())

        assert controlled is not None
        circuit = controlled.circuit
        changes = {**make_row(circuit), "revision": before["revision"] + 1, "circuit_window": {}}
        if name == "llm_reset_circuit_throttle":
            changes["throttle_reset_revision"] = before["revision"] + 1
        assert fetch_row(connection, HEALTH) == before | changes
        assert done == make_transition_row(controlled.transition)
        stored = f"SELECT * FROM llm_circuit_transitions WHERE version = {circuit.version}"  # noqa: S608 - a number
        assert fetch_row(connection, stored) == done


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize(("actor", "reason", "field"), [("", "why", "actor"), ("ada", " \t\n", "reason")])
def test_both_refuse_an_order_without_actor_or_reason(
    connection: Database, name: str, actor: str, reason: str, field: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field}: is empty") as pure:
        ORDERS[name](Circuit("ollama"), Order(actor, reason), 1.0)
    for empty in ((actor, reason), (actor or None, reason if reason.strip() else None)):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as told:
            give_order(connection, name, "ollama", *empty)
        assert told.value.diag.message_primary == str(pure.value)
    assert fetch_value(connection, "SELECT count(*) FROM llm_circuit_transitions") == 0


@pytest.mark.parametrize("name", ENDING)
def test_both_refuse_an_override_that_has_ended_before_it_begins(connection: Database, name: str) -> None:
    with pytest.raises(ValueError, match=r"^until: ") as pure:
        ORDERS[name](Circuit("ollama"), Order("ada", "why", 99.0), 99.0)
    with pytest.raises(psycopg.errors.InvalidParameterValue) as told:
        give_order(connection, name, "ollama", "ada", "why", datetime.now(UTC))
    assert told.value.diag.message_primary == str(pure.value)
    # which psycopg could not read back
    with pytest.raises(psycopg.DataError, match="until: is too far ahead"):
        connection.execute(b"SELECT llm_disable_circuit('ollama', 'ada', 'why', 'infinity')")


@pytest.mark.parametrize("name", ORDERS)
def test_an_unknown_provider_is_refused_with_the_known_ones_in_order_of_choice(connection: Database, name: str) -> None:
    with pytest.raises(psycopg.DataError, match=r"^there is no provider nobody: known are ollama, localai, claude, op"):
        give_order(connection, name, "nobody", "ada", "why")


@pytest.mark.parametrize("override", [None, "forced_open", "disabled"])
@pytest.mark.parametrize("state", ["closed", "open"])
@pytest.mark.parametrize("open_until", [None, 99.0, 100.0, 100.000001])
def test_both_see_the_same_state(connection: Database, override: Any, state: Any, open_until: float | None) -> None:  # noqa: ANN401 - words of the state
    circuit = Circuit("ollama", state, open_until=open_until, override=override)
    parameters = (state, override, make_time(open_until), make_time(100.0))

    [row] = connection.execute(b"SELECT llm_circuit_state(%s, %s, %s, %s)", parameters)

    assert row == (find_effective_state(circuit, 100.0),)


def test_every_override_whose_time_has_come_ends_and_no_other(connection: Database) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    for provider, until in (("ollama", later), ("claude", later), ("localai", later), ("openai", None)):
        give_order(connection, "llm_force_circuit_open", provider, "ada", f"why {provider}", until)
    connection.execute(
        b"UPDATE llm_provider_health SET override_until = now() - interval '1 s' WHERE provider IN ('ollama', 'claude')"
    )

    assert [row[0] for row in connection.execute(b"SELECT llm_expire_circuit_overrides()")] == ["claude", "ollama"]
    assert [row[0] for row in connection.execute(b"SELECT llm_expire_circuit_overrides()")] == []
    ended = connection.execute(
        b"SELECT provider, actor, note FROM llm_circuit_transitions WHERE reason = 'override_expired' ORDER BY provider"
    )
    assert ended.fetchall() == [("claude", SWEEPER, "why claude"), ("ollama", SWEEPER, "why ollama")]


def test_an_override_that_is_extended_while_it_expires_stays(database_url: str, connection: Database) -> None:
    give_order(connection, "llm_disable_circuit", "ollama", "ada", "why", datetime.now(UTC) + timedelta(hours=1))
    connection.execute(
        b"UPDATE llm_provider_health SET override_until = now() - interval '1 s' WHERE override = 'disabled'"
    )
    with ThreadPoolExecutor() as pool, connect_database(database_url, application_name="tests") as other:
        with other.transaction():
            other.execute(f"{HEALTH} FOR UPDATE".encode())
            expired = pool.submit(run_alone, database_url, "SELECT llm_expire_circuit_overrides()")
            wait_until(lambda: is_waiting(connection))
            ahead = datetime.now(UTC) + timedelta(hours=2)
            give_order(other, "llm_disable_circuit", "ollama", "bob", "longer", ahead)

        assert expired.result() == []
    assert fetch_row(connection, HEALTH)["override_until"] == ahead


def run_alone(database_url: str, statement: str) -> list[Any]:
    with connect_database(database_url, application_name="tests") as opened:
        return opened.execute(statement.encode()).fetchall()


def is_waiting(connection: Database) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(fetch_value(connection, waiting))


def test_an_order_waits_for_the_batch_in_flight_and_stands_above_what_it_decided(
    database_url: str, connection: Database
) -> None:
    order = (
        "SELECT version, epoch, from_state, to_state, occurred_at FROM llm_force_circuit_open('ollama', 'ada', 'why')"
    )
    with ThreadPoolExecutor() as pool, connect_database(database_url, application_name="tests") as batch:
        with batch.transaction():
            batch.execute(f"{HEALTH} FOR UPDATE".encode())
            done = pool.submit(run_alone, database_url, order)
            wait_until(lambda: is_waiting(connection))
            batch.execute(
                b"UPDATE llm_provider_health SET state = 'open', open_until = clock_timestamp() + interval '1 h',"
                b" epoch = 2, epoch_started_at = clock_timestamp(), version = 1, revision = 7 WHERE provider = 'ollama'"
            )
        [(version, epoch, from_state, to_state, occurred_at)] = done.result()

    health = fetch_row(connection, HEALTH)
    assert (version, epoch, from_state, to_state) == (2, 3, "open", "forced_open")
    assert (health["state"], health["epoch"], health["version"], health["revision"]) == ("open", 3, 2, 8)
    assert health["open_until"] - occurred_at < timedelta(hours=1)


@pytest.fixture
def listener(database_url: str) -> Iterator[Callable[[int], list[str]]]:
    """Listen as the sweeper does; the function gives the payloads that came, once there are so many."""
    with connect_database(database_url, application_name="tests") as opened:
        opened.execute(b"LISTEN fuseboard_circuits")

        def take(count: int) -> list[str]:
            return [told.payload for told in opened.notifies(timeout=30, stop_after=count)]

        yield take


def test_every_order_tells_who_listens(connection: Database, listener: Callable[[int], list[str]]) -> None:
    for name, provider in zip(ORDERS, ["ollama", "claude", "openai", "localai", "ollama"], strict=True):
        give_order(connection, name, provider, "ada", "why")

    assert listener(5) == ["ollama", "claude", "openai", "localai", "ollama"]


def test_orders_are_decided_in_the_order_of_their_versions(database_url: str, connection: Database) -> None:
    def order(_: int) -> None:
        run_alone(database_url, "SELECT llm_reset_circuit('ollama', 'ada', 'why')")

    with ThreadPoolExecutor(max_workers=6) as pool:
        list(pool.map(order, range(18)))

    rows = connection.execute(
        b"SELECT version, epoch, occurred_at FROM llm_circuit_transitions ORDER BY version"
    ).fetchall()
    assert [(version, epoch) for version, epoch, _ in rows] == [(n, n + 1) for n in range(1, 19)]
    assert all(earlier < later for (*_, earlier), (*_, later) in pairwise(rows))
