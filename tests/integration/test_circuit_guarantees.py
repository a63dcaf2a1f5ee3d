"""P1 to P6 and P9 of the specification's part C.7 on a real database, with several consumers where that matters."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from circuits import LiteralCircuit, name_transitions
from events import make_event
from fuseboard_consumer.batch import BatchStore
from fuseboard_consumer.circuit import fold_events
from fuseboard_consumer.circuit_event import make_circuit_event
from fuseboard_consumer.circuit_state import Circuit, CircuitEvent, Transition
from fuseboard_consumer.circuit_window import EMPTY_WINDOW, Window
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.event import RequestEvent
from queries import Database, fetch_value
from stored_circuits import (
    FoldRecord,
    StoredCircuit,
    choose_records,
    fetch_circuit,
    fetch_transitions,
    recording_folds,
    set_circuit_settings,
)
from stored_usage import store_batch

Event = dict[str, Any]
Call = dict[str, Any]
PROVIDERS = ("claude", "ollama", "openai")
CONSUMERS = 4
# opens and closes after few calls, so that most examples have something to say
EAGER: Any = {"min_calls": 4, "consecutive_failures": 3, "success_threshold": 1, "slow_ms": 2000}
# opens at nothing that these examples hold
CALM: Any = EAGER | {"min_calls": 100, "consecutive_failures": 50, "fatal_threshold": 50}
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
bounded = settings(max_examples=30, database=None, suppress_health_check=list(HealthCheck))

CALLS = st.fixed_dictionaries(
    {
        # far from every limit of age, which the database's clock passes while a test runs
        "seconds_ago": st.sampled_from([*range(1, 50), 0.25, 7.5, 400]),
        "status": st.sampled_from(["success"] * 3 + ["error"] * 3 + ["rate_limited", "cancelled"]),
        "worker_id": st.sampled_from(["w1", "w2", "w3"]),
        "admission": st.sampled_from(["normal", "normal", "probe", "panic"]),
        "http_status": st.sampled_from([None, 503, 401]),
        "retry_after_seconds": st.sampled_from([0.0, 7.5, 99.0]),
        "duration_seconds": st.sampled_from([0.5, 0.5, 3.0]),
        "circuit_epoch": st.sampled_from([1, 1, 1, 2, 2, 3, None]),
    }
)
CUTS = st.lists(st.integers(0, 30), max_size=4)
# one draw each: an example that hypothesis gives up half-way would have stored half of its events
RANDOMS = st.integers(0, 10**6).map(Random)

numbers = itertools.count(1)


def draw_calls(least: int = 1, most: int = 20, **fixed: Any) -> st.SearchStrategy[list[Call]]:  # noqa: ANN401 - any field
    return st.lists(CALLS.map(lambda call: call | fixed), min_size=least, max_size=most)


def make_events(calls: Sequence[Call], provider: str = "claude") -> list[Event]:
    """Make events of calls in order of their times, as of now."""
    now = datetime.now(UTC)
    return [
        make_event(
            **{name: value for name, value in call.items() if name != "seconds_ago"},
            occurred_at=now - timedelta(seconds=call["seconds_ago"]),
            event_id=str(UUID(int=next(numbers))),
            provider=provider,
        )
        for call in sorted(calls, key=lambda call: -call["seconds_ago"])
    ]


def start_again(connection: Database, epoch: int = 1, **changed: Any) -> None:  # noqa: ANN401 - any setting
    """Forget every request and give claude a fresh circuit, closed since long ago."""
    set_circuit_settings(connection, **changed)
    connection.execute("DELETE FROM llm_requests")
    connection.execute("DELETE FROM llm_circuit_transitions")
    connection.execute("DELETE FROM llm_provider_health WHERE provider = 'claude'")
    connection.execute(
        "INSERT INTO llm_provider_health (provider, epoch, version, epoch_started_at)"
        " VALUES ('claude', %(epoch)s, %(epoch)s - 1, '2026-01-01')",
        {"epoch": epoch},
    )


def split(events: Sequence[Event], cuts: Sequence[int]) -> list[Sequence[Event]]:
    edges = [0, *sorted(cut % (len(events) + 1) for cut in cuts), len(events)]
    return [events[start:stop] for start, stop in itertools.pairwise(edges)]


def store_all(store: BatchStore, batches: Sequence[Sequence[Event]]) -> None:
    for batch in batches:
        store_batch(store, batch)


def drop_clock(stored: StoredCircuit) -> tuple[Circuit, Window]:
    """Leave out what depends on when a transition was decided."""
    return stored.circuit._replace(epoch_started_at=0.0, open_until=None), stored.window


def read_calls(events: Sequence[Event]) -> list[CircuitEvent]:
    decoded = [RequestEvent.model_validate(event) for event in events]
    return [make_circuit_event(event, event.occurred_at.timestamp(), CircuitSettings(**EAGER)) for event in decoded]


@pytest.fixture
def store(database_url: str) -> Iterator[BatchStore]:
    with closing(BatchStore(database_url)) as opened:
        yield opened


def test_p1_and_p5_and_p9_hold_with_many_consumers_and_every_event_delivered_twice(
    connection: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for provider in PROVIDERS:
        set_circuit_settings(connection, provider, **EAGER)
    connection.execute("UPDATE llm_provider_health SET epoch_started_at = '2026-01-01'")
    starts = {provider: fetch_circuit(connection, provider).circuit for provider in PROVIDERS}
    deadlocks = fetch_value(connection, DEADLOCKS)
    events: list[Event] = []

    with recording_folds(monkeypatch) as records, ExitStack() as stack:
        stores = [stack.enter_context(closing(BatchStore(database_url))) for _ in range(CONSUMERS)]

        @bounded
        @given(st.lists(draw_calls(1, 12), min_size=3, max_size=5), RANDOMS)
        def deliver(groups: list[list[Call]], random: Random) -> None:
            providers = itertools.cycle(PROVIDERS)
            made = [event for calls in groups for event in make_events(calls, next(providers))]
            events.extend(made)
            store_at_once(stores, made, random)

        failures = [{"status": "error", "worker_id": f"w{n}", "circuit_epoch": 1, "seconds_ago": n} for n in (1, 2, 3)]
        events += [event for provider in PROVIDERS for event in make_events(failures, provider)]
        store_at_once(stores, events, Random(0))  # noqa: S311 - an order, not a secret
        deliver()

    assert fetch_value(connection, DEADLOCKS) == deadlocks
    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == len(events)
    assert fetch_value(connection, "SELECT sum(total_requests) FROM llm_provider_health") == len(events)
    for provider in PROVIDERS:
        check_history(connection, choose_records(records, provider), starts[provider], events)


def store_at_once(stores: list[BatchStore], events: list[Event], random: Random) -> None:
    """Deliver every event twice, in small batches of any order, by all consumers at the same time."""
    delivered = random.sample([*events, *events], 2 * len(events))
    errors: list[Exception] = []
    together = threading.Barrier(len(stores))

    def consume(store: BatchStore, share: list[Event]) -> None:
        try:
            together.wait()
            store_all(store, [share[start : start + 4] for start in range(0, len(share), 4)])
        except Exception as error:  # noqa: BLE001 - raised in the test's own thread below
            errors.append(error)

    shares = [delivered[number :: len(stores)] for number in range(len(stores))]
    threads = [threading.Thread(target=consume, args=pair) for pair in zip(stores, shares, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def check_history(connection: Database, records: list[FoldRecord], start: Circuit, events: list[Event]) -> None:
    provider = start.target
    # P1: each event was folded once
    folded = sorted(event.event_id for record in records for event in record.events)
    assert folded == sorted(UUID(event["event_id"]).hex for event in events if event["provider"] == provider)
    # each saw what the one before had committed
    revisions = [record.locked.revision for record in records]
    assert revisions == list(range(revisions[0], revisions[0] + len(records)))
    # P5: versions are dense, and each epoch is left once
    transitions = fetch_transitions(connection, provider)
    assert [(transition.version, transition.epoch) for transition in transitions] == [
        (version, version + 1) for version in range(1, len(transitions) + 1)
    ]
    assert transitions
    # P9: the same again from the events, the settings and the clock of then, to the microsecond
    circuit, window, _ = fetch_circuit(connection, provider)
    assert replay(records, start) == (circuit, window, transitions)
    literal = LiteralCircuit(start, CircuitSettings(**EAGER))
    for record in records:
        for event in sorted(record.events):
            literal.fold(event, record.now)
    assert (literal.circuit, literal.transitions) == (circuit, name_transitions(transitions))


def replay(records: Sequence[FoldRecord], start: Circuit) -> tuple[Circuit, Window, list[Transition]]:
    circuit, window = start, EMPTY_WINDOW
    transitions: list[Transition] = []
    for record in records:
        circuit, window, made = fold_events(circuit, window, record.events, record.locked.settings, record.now)
        transitions += made
    return circuit, window, transitions


def test_p2_what_opens_nothing_leaves_the_same_row_in_any_order(store: BatchStore, connection: Database) -> None:
    @bounded
    @given(draw_calls(4), CUTS, RANDOMS)
    def check(calls: list[Call], cuts: list[int], random: Random) -> None:
        events = make_events(calls)
        start_again(connection, **CALM)
        store_all(store, [[event] for event in events])
        in_order = fetch_circuit(connection)
        start_again(connection, **CALM)
        store_all(store, split(random.sample(events, len(events)), cuts))

        assert fetch_circuit(connection)[:2] == in_order[:2]
        assert in_order.circuit.version == 0

    check()


def test_p3_no_order_or_batching_misses_a_rule_that_all_events_break(store: BatchStore, connection: Database) -> None:
    @bounded
    @given(draw_calls(5, 15, circuit_epoch=1, admission="normal"), CUTS, RANDOMS)
    def check(calls: list[Call], cuts: list[int], random: Random) -> None:
        events = make_events([call for call in calls if call["seconds_ago"] < 100])
        # counted without judging, so that the whole set is judged at its newest event
        counted = [call for call in read_calls(events) if call.outcome in {"success", "failure", "fatal"}]
        literal = LiteralCircuit(Circuit("claude"), CircuitSettings(**EAGER), counted)
        assume(counted)
        assume(literal.find_reason() is not None)
        start_again(connection, **EAGER)

        store_all(store, split(random.sample(events, len(events)), cuts))

        assert fetch_circuit(connection).circuit.version >= 1

    check()


def test_p4_batches_are_invisible_to_events_in_order(store: BatchStore, connection: Database) -> None:
    @bounded
    @given(draw_calls(8, 25), CUTS)
    def check(calls: list[Call], cuts: list[int]) -> None:
        events = make_events(calls)
        start_again(connection, **EAGER)
        store_all(store, [[event] for event in events])
        one_by_one = fetch_circuit(connection)
        transitions = fetch_transitions(connection)
        start_again(connection, **EAGER)
        store_all(store, split(events, cuts))

        assert drop_clock(fetch_circuit(connection)) == drop_clock(one_by_one)
        again = [transition._replace(at=0.0, open_until=None) for transition in fetch_transitions(connection)]
        assert again == [transition._replace(at=0.0, open_until=None) for transition in transitions]

    check()


def test_p6_events_of_older_epochs_change_nothing_but_the_throttle(store: BatchStore, connection: Database) -> None:
    @bounded
    @given(draw_calls(4, circuit_epoch=3), draw_calls(4), CUTS)
    def check(current: list[Call], older: list[Call], cuts: list[int]) -> None:
        events = make_events(current)
        late = make_events([call | {"circuit_epoch": 1 + number % 2} for number, call in enumerate(older)])
        start_again(connection, 3, **EAGER)
        store_all(store, split(events, cuts))
        alone = fetch_circuit(connection)
        start_again(connection, 3, **EAGER)
        store_all(store, [[*b, *a] for a, b in zip(split(events, cuts), split(late, cuts), strict=True)])

        mixed = fetch_circuit(connection)
        throttle = alone.circuit.throttle_until
        assert drop_clock(mixed._replace(circuit=mixed.circuit._replace(throttle_until=throttle))) == drop_clock(alone)

    check()
