"""A health row is read back as it was written, and counts durations as usage does."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits import make_calls
from events import make_event
from fuseboard_consumer import circuit_store
from fuseboard_consumer.batch import BatchStore
from fuseboard_consumer.circuit import fold_events
from fuseboard_consumer.circuit_changes import CircuitChanges
from fuseboard_consumer.circuit_fold import FoldedHealth
from fuseboard_consumer.circuit_state import Circuit, Transition
from fuseboard_consumer.circuit_window import EMPTY_WINDOW
from fuseboard_consumer.durations import DURATION_BOUNDS, estimate_percentile
from fuseboard_schema.circuit_settings import CircuitSettings
from queries import Database, fetch_value
from stored_circuits import fetch_circuit, fetch_transitions
from stored_usage import store_batch

MICROSECONDS = st.integers(1_577_836_800_000_000, 4_102_444_800_000_000).map(lambda number: number / 1_000_000)
COUNTS = st.integers(0, 2_000_000_000)
CIRCUITS = st.tuples(
    st.just("claude"),
    st.sampled_from(["closed", "open"]),
    COUNTS,
    MICROSECONDS,
    COUNTS,
    st.none() | MICROSECONDS,
    COUNTS,
    st.none() | MICROSECONDS,
    COUNTS,
).map(lambda values: Circuit(*values))


@pytest.fixture
def store(database_url: str) -> Iterator[BatchStore]:
    with closing(BatchStore(database_url)) as opened:
        yield opened


def test_a_row_read_back_is_the_row_written(connection: Database) -> None:
    @settings(max_examples=60, database=None)
    @given(CIRCUITS, st.lists(MICROSECONDS, max_size=20))
    def check(circuit: Circuit, times: list[float]) -> None:
        calls = [call._replace(event_id=f"{number:032x}") for number, call in enumerate(make_calls(times))]
        window = fold_events(Circuit("claude"), EMPTY_WINDOW, calls, CircuitSettings(), max(times, default=0.0)).window
        (locked,), _ = circuit_store.select_health_for_update(connection, ["claude"])

        circuit_store.update_health(connection, [FoldedHealth(locked.health, circuit, window, (), CircuitChanges())])

        stored = fetch_circuit(connection)
        assert (stored.circuit, stored.window, stored.revision) == (circuit, window, locked.revision + 1)
        assert circuit_store.select_health_for_update(connection, ["claude"])[0][0].health == locked.health

    check()


def test_a_window_that_another_version_wrote_is_forgotten_and_said(
    store: BatchStore, connection: Database, caplog: pytest.LogCaptureFixture
) -> None:
    connection.execute("""UPDATE llm_provider_health SET circuit_window = '{"strange": [1]}'""")

    store_batch(store, [make_event(circuit_epoch=1)])

    assert "circuit_window_malformed provider=claude" in caplog.text
    assert [cell[1:] for cell in fetch_circuit(connection).window.cells] == [(1, 0, 0)]


def test_durations_of_ten_minutes_are_counted_by_bucket_as_in_usage(store: BatchStore, connection: Database) -> None:
    now = datetime.now(UTC)
    durations: list[float | None] = [0.0, 0.0049999996, 0.005, 1.25, 1.25, 3600.0, 31_536_000.0, None]
    events = [make_event(occurred_at=now, duration_seconds=seconds) for seconds in durations]
    failed = make_event(occurred_at=now, status="error", duration_seconds=1.25)
    before = [make_event(occurred_at=now - timedelta(minutes=minutes), duration_seconds=9) for minutes in (9, 10)]

    for batch in (before, [*events[:4], failed], events[4:], events):
        store_batch(store, batch)

    rolling = fetch_value(connection, "SELECT rolling_durations FROM llm_provider_health WHERE provider = 'claude'")
    usage = fetch_value(
        connection, "SELECT array_agg(bucket) FROM llm_usage_deltas, unnest(duration_buckets) AS bucket"
    )
    minute = int(now.timestamp()) // 60 * 60
    nine_seconds = fetch_value(connection, "SELECT duration_bucket(9)")
    assert rolling[str(minute - 540)] == {str(nine_seconds): 1}
    assert set(rolling) == {str(minute - 540), str(minute)}
    counted = sum((Counter(buckets) for buckets in rolling.values()), Counter[str]())
    assert counted + Counter([str(nine_seconds)]) == Counter(map(str, usage))
    assert estimate_percentile(rolling, 0.5) == pytest.approx(1.25, rel=0.05)


def test_the_bounds_of_durations_are_those_of_the_database(connection: Database) -> None:
    assert list(DURATION_BOUNDS) == fetch_value(connection, "SELECT duration_bucket_bounds()")


def test_a_transition_read_back_is_the_transition_written(connection: Database) -> None:
    @settings(max_examples=50, database=None)
    @given(MICROSECONDS, st.none() | MICROSECONDS, st.uuids(), COUNTS)
    def check(at: float, open_until: float | None, event_id: UUID, count: int) -> None:
        written = Transition(
            "claude", 1, "half_open", "open", "probe_failed", 7, at, event_id.hex, "ann", "why", count, 2, 3, open_until
        )
        connection.execute("DELETE FROM llm_circuit_transitions")
        circuit_store.insert_transitions(connection, [written])
        assert fetch_transitions(connection) == [written]

    check()
