"""What people read about circuits, and how workers come to know of changes beside them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.rows import dict_row

from fuseboard_schema.database import connect_database
from queries import Database, fetch_row, fetch_value

NOW = datetime.now(UTC).replace(microsecond=0)
CIRCUIT = "SELECT * FROM llm_circuits WHERE provider = 'ollama'"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def ahead() -> datetime:
    """Give a time that is still ahead when the last test of a long run asks."""
    return NOW + timedelta(days=1)


def set_health(connection: Database, **columns: object) -> None:
    names = ", ".join(f"{name} = %({name})s" for name in columns)
    connection.execute(f"UPDATE llm_provider_health SET {names} WHERE provider = 'ollama'".encode(), columns)  # noqa: S608 - names of columns


def add_transition(
    connection: Database, version: int, at: datetime, states: str, reason: str, **columns: object
) -> None:
    from_state, to_state = states.split(">")
    values = {
        "provider": "ollama", "version": version, "occurred_at": at, "from_state": from_state, "to_state": to_state,
        "reason": reason, "epoch": version + 1, **columns,
    }  # fmt: skip
    places = ", ".join(f"%({name})s" for name in values)
    connection.execute(f"INSERT INTO llm_circuit_transitions ({', '.join(values)}) VALUES ({places})".encode(), values)  # noqa: S608 - names of columns


def read_history(connection: Database, *columns: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        f"SELECT {', '.join(columns)} FROM llm_circuit_history WHERE provider = 'ollama' ORDER BY occurred_at".encode()  # noqa: S608 - names of columns
    ).fetchall()


def test_circuits_are_listed_in_order_of_choice_also_without_a_history(connection: Database) -> None:
    connection.execute(b"UPDATE llm_providers SET priority = 5, enabled = false WHERE name = 'openai'")
    connection.execute(b"DELETE FROM llm_provider_health WHERE provider = 'claude'")

    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(b"SELECT * FROM llm_circuits").fetchall()

    assert [row["provider"] for row in rows] == ["openai", "ollama", "localai", "claude"]
    assert [row["enabled"] for row in rows] == [False, True, True, True]
    assert {(row["state"], row["is_throttled"], row["reason"], row["window_calls"]) for row in rows} == {
        ("closed", False, None, None)
    }
    created_at = fetch_value(connection, "SELECT created_at FROM llm_providers WHERE name = 'ollama'")
    assert {row["since"] for row in rows} == {created_at}


@pytest.mark.parametrize(
    ("open_until", "state", "since", "next_probe_at"),
    [(ahead(), "open", ago(30), ahead()), (ago(10), "half_open", ago(10), None)],
)
def test_an_open_circuit_says_why_since_when_and_when_it_will_be_tried(
    connection: Database, open_until: datetime, state: str, since: datetime, next_probe_at: datetime | None
) -> None:
    set_health(connection, state="open", epoch=2, version=1, open_until=open_until, last_error_type="APIError",
               rolling_success_rate=41.67)  # fmt: skip
    add_transition(
        connection, 1, ago(30), "closed>open", "failure_rate", calls=12, bad=7, slow=2, open_until=open_until
    )

    row = fetch_row(connection, CIRCUIT)

    assert (row["state"], row["since"], row["next_probe_at"]) == (state, since, next_probe_at)
    assert (row["reason"], row["actor"]) == ("failure_rate", None)
    assert (row["window_calls"], row["window_bad"], row["window_slow"]) == (12, 7, 2)
    assert (row["epoch"], row["version"], row["success_rate"], row["last_error_type"]) == (2, 1, 41.67, "APIError")


def test_a_throttle_that_was_reset_hides_neither_why_nor_since_when_it_is_open(connection: Database) -> None:
    set_health(connection, state="open", version=1, open_until=ahead())
    add_transition(connection, 1, ago(30), "closed>open", "consecutive", open_until=ahead())
    connection.execute(b"SELECT llm_reset_circuit_throttle('ollama', 'ada', 'their quota was raised')")

    row = fetch_row(connection, CIRCUIT)

    assert (row["state"], row["reason"], row["since"]) == ("open", "consecutive", ago(30))


def test_an_override_says_who_why_and_until_when(connection: Database) -> None:
    connection.execute(b"SELECT llm_force_circuit_open('ollama', 'ada', 'new GPU', %s)", (ahead(),))
    row = fetch_row(connection, CIRCUIT)

    assert (row["state"], row["override"], row["reason"], row["actor"]) == (
        "forced_open",
        "forced_open",
        "forced_open",
        "ada",
    )
    assert (row["override_by"], row["override_reason"], row["override_until"]) == ("ada", "new GPU", ahead())
    assert row["since"] == fetch_value(connection, "SELECT occurred_at FROM llm_circuit_transitions")


def test_a_circuit_whose_override_was_cleared_late_is_half_open_from_then_on(connection: Database) -> None:
    set_health(connection, state="open", open_until=ago(500))
    connection.execute(b"SELECT llm_disable_circuit('ollama', 'ada', 'a try')")
    connection.execute(b"SELECT llm_clear_circuit_override('ollama', 'ada', 'enough')")

    row = fetch_row(connection, CIRCUIT)

    assert (row["state"], row["reason"]) == ("half_open", "override_cleared")
    assert row["since"] == fetch_value(connection, "SELECT max(occurred_at) FROM llm_circuit_transitions")


@pytest.mark.parametrize(("throttle_until", "is_throttled"), [(ahead(), True), (ago(1), False), (None, False)])
def test_only_a_throttle_that_holds_is_shown(
    connection: Database, throttle_until: datetime | None, *, is_throttled: bool
) -> None:
    set_health(connection, throttle_until=throttle_until)

    row = fetch_row(connection, CIRCUIT)

    assert (row["is_throttled"], row["throttle_until"]) == (is_throttled, throttle_until if is_throttled else None)


def test_the_history_has_the_half_open_states_that_nobody_wrote(connection: Database) -> None:
    cause = "01981d3a-0000-7000-8000-000000000001"
    add_transition(connection, 1, ago(900), "closed>open", "failure_rate", calls=10, bad=6, slow=1,
                   open_until=ago(870), cause_event_id=cause)  # fmt: skip
    add_transition(connection, 2, ago(860), "half_open>open", "probe_failed", open_until=ago(800))
    # before its time was over somebody reset the throttle, which leaves the deadline
    add_transition(connection, 3, ago(850), "open>open", "throttle_reset", open_until=ago(800), actor="ada", note="why")
    add_transition(connection, 4, ago(790), "half_open>closed", "probes_succeeded")
    add_transition(connection, 5, ago(100), "closed>open", "fatal", open_until=ago(40))

    assert read_history(connection, "occurred_at", "from_state", "to_state", "reason", "epoch", "lasted_seconds") == [
        (ago(900), "closed", "open", "failure_rate", 2, 30.0),
        (ago(870), "open", "half_open", "open_until_passed", 2, 10.0),
        (ago(860), "half_open", "open", "probe_failed", 3, 10.0),
        (ago(850), "open", "open", "throttle_reset", 4, 50.0),
        (ago(800), "open", "half_open", "open_until_passed", 4, 10.0),
        (ago(790), "half_open", "closed", "probes_succeeded", 5, 690.0),
        (ago(100), "closed", "open", "fatal", 6, 60.0),
        (ago(40), "open", "half_open", "open_until_passed", 6, None),
    ]
    first, derived, *_ = read_history(connection, "version", "actor", "calls", "bad", "slow", "cause_event_id::text")
    assert (first, derived) == ((1, None, 10, 6, 1, cause), (1, None, None, None, None, None))


def test_the_history_shows_no_half_open_state_before_its_time_or_under_an_override(connection: Database) -> None:
    set_health(connection, state="open", open_until=ahead())
    add_transition(connection, 1, ago(30), "closed>open", "consecutive", open_until=ahead())
    assert read_history(connection, "to_state", "lasted_seconds") == [("open", None)]
    set_health(connection, version=1, open_until=ago(10))
    connection.execute(b"UPDATE llm_circuit_transitions SET open_until = %s", (ago(10),))
    connection.execute(b"SELECT llm_force_circuit_open('ollama', 'ada', 'why')")

    states = read_history(connection, "from_state", "to_state")

    assert states == [("closed", "open"), ("open", "half_open"), ("half_open", "forced_open")]


def read_revisions(connection: Database) -> dict[str, int]:
    return dict(connection.execute(b"SELECT provider, revision FROM llm_provider_health").fetchall())


@pytest.mark.parametrize(
    ("statement", "touched"),
    [
        ("UPDATE llm_providers SET enabled = false WHERE name = 'ollama'", {"ollama"}),
        ("UPDATE llm_providers SET priority = 1 WHERE provider_type = 'remote'", {"claude", "openai"}),
        ("UPDATE llm_providers SET provider_type = 'remote' WHERE name = 'ollama'", {"ollama"}),
        ("UPDATE llm_providers SET weight = 2 WHERE name = 'ollama'", {"ollama"}),
        ("UPDATE llm_providers SET context_tokens = 2 WHERE name = 'ollama'", {"ollama"}),
        ("UPDATE llm_providers SET capabilities = '{tools}' WHERE name = 'ollama'", {"ollama"}),
        ("UPDATE llm_providers SET models = '{\"a\": {}}' WHERE name = 'ollama'", {"ollama"}),
        ("UPDATE llm_providers SET circuit_settings = '{}'", {"ollama", "localai"}),
        ("UPDATE llm_providers SET enabled = true, updated_at = now(), display_name = 'x'", set()),
        ("DELETE FROM llm_providers WHERE name = 'openai'", {"openai"}),
        ("INSERT INTO llm_providers (name, display_name, provider_type) VALUES ('new', 'New', 'local')", {"new"}),
        ("UPDATE llm_providers SET name = 'new' WHERE name = 'openai'", {"new", "openai"}),
        ("UPDATE llm_prices SET multiplier = 2 WHERE provider IN ('claude', 'ollama')", {"claude", "ollama"}),
        ("UPDATE llm_prices SET provider = 'openai' WHERE provider = 'claude'", {"claude", "openai"}),
        ("DELETE FROM llm_prices WHERE provider = 'claude'", {"claude"}),
        ("INSERT INTO llm_prices (provider, model_pattern, source) VALUES ('claude', 'x', 's')", {"claude"}),
        (
            "INSERT INTO llm_prices (provider, model_pattern, source) VALUES ('unregistered', 'x', 's')",
            {"unregistered"},
        ),
    ],
)
def test_what_workers_see_changed_has_a_newer_revision_and_is_told(
    database_url: str, connection: Database, statement: str, touched: set[str]
) -> None:
    before = read_revisions(connection)
    with connect_database(database_url, application_name="tests") as listener:
        listener.execute(b"LISTEN fuseboard_circuits")

        connection.execute(statement.encode())
        connection.execute(b"NOTIFY fuseboard_circuits, 'end of the test'")

        told = [notice.payload for notice in listener.notifies(timeout=30, stop_after=len(touched) + 1)]
    after = read_revisions(connection)
    assert set(told) == touched | {"end of the test"}
    expected = {name: before.get(name, 0) + (name in touched) for name in {*before, *touched} - {"unregistered"}}
    assert after == expected


def test_operators_and_consumers_at_once_never_wait_in_a_circle(database_url: str, connection: Database) -> None:
    rounds = 40
    consumer = b"""
        WITH locked AS MATERIALIZED (SELECT provider FROM llm_provider_health ORDER BY provider FOR UPDATE)
        UPDATE llm_provider_health SET revision = revision + 1 FROM locked
        WHERE llm_provider_health.provider = locked.provider"""
    # the rows lie in another order than that of their names
    statements = [
        consumer,
        consumer,
        b"UPDATE llm_providers SET priority = priority + 1",
        b"UPDATE llm_prices SET multiplier = multiplier + 1",
        b"SELECT llm_reset_circuit('localai', 'ada', 'why')",
    ]

    def repeat(statement: bytes) -> None:
        with connect_database(database_url, application_name="tests") as opened:
            for _ in range(rounds):
                opened.execute(statement)

    with ThreadPoolExecutor(len(statements)) as pool:
        list(pool.map(repeat, statements))

    revisions = read_revisions(connection)
    assert revisions == dict.fromkeys(revisions, 4 * rounds) | {"localai": 5 * rounds}
