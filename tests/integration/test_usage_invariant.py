"""Whatever happens to usage, in whatever order: daily rows and what is pending are the raw requests (G1, G3)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from psycopg import Connection
from psycopg.rows import TupleRow

from events import make_event
from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.partitions import drop_old_partitions
from fuseboard_aggregator.rebuild import rebuild_daily
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_aggregator.reprice import reprice_requests
from fuseboard_aggregator.store import select_day_settings
from fuseboard_aggregator.tag_keys import add_tag_key, remove_tag_key
from fuseboard_consumer.batch import BatchStore
from fuseboard_schema.pricing import EXACT, ZERO
from stored_rollups import compute_fallbacks, compute_hours, compute_tags, fetch_fallbacks, fetch_hours, fetch_tags
from stored_usage import Key, Row, compute_usage, fetch_usage, store_batch, sum_exactly

Database = Connection[TupleRow]
START = datetime(2026, 3, 28, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"]
EMPTY = """
    DO $$
    DECLARE
        partition regclass;
    BEGIN
        FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'llm_requests'::regclass LOOP
            EXECUTE 'DROP TABLE ' || partition;
        END LOOP;
    END $$;
    TRUNCATE llm_usage_deltas, llm_costs_daily, llm_usage_hourly, llm_fallback_deltas, llm_fallbacks_daily,
        llm_tag_deltas, llm_tag_costs_daily;
    DELETE FROM llm_prices WHERE source = 'test';
    UPDATE fuseboard_settings SET value = before.value
    FROM (VALUES ('day_time_zone', 'UTC'), ('raw_retained_from', '2020-01-01T00:00:00+00:00'),
        ('whole_days_from', '2020-01-01')) AS before(name, value)
    WHERE fuseboard_settings.name = before.name"""

Totals = dict[str, Decimal]

providers = st.sampled_from(["claude", "ollama", "mistral"])
tag_keys = st.sampled_from(["team", "feature", "project", "user"])
events = st.fixed_dictionaries(
    {
        "occurred_at": st.integers(0, 3 * 96 - 1).map(lambda quarter: START + quarter * timedelta(minutes=15)),
        "provider": providers,
        "status": st.sampled_from(["success", "error", "timeout", "rate_limited", "cancelled"]),
        "is_fallback": st.booleans(),
        "original_provider": st.none() | providers,
        "tags": st.none() | st.dictionaries(tag_keys, st.sampled_from(["a", "b", ""]), max_size=3),
        "prompt_tokens": st.none() | st.integers(0, 10**12),
        "completion_tokens": st.none() | st.integers(0, 10**6),
        "cost_usd": st.none() | st.decimals(0, Decimal(999999999), places=18).map(str),
        "duration_seconds": st.none() | st.floats(0, 4000),
    }
)
rates = st.decimals(0, 1, places=12)


class UsageMachine(RuleBasedStateMachine):
    def __init__(self, database: Database, database_url: str) -> None:
        super().__init__()
        self.database = database
        self.store = BatchStore(database_url)
        self.zone = "UTC"
        self.sent: list[dict[str, Any]] = []
        self.dropped: Totals = {}

    def teardown(self) -> None:
        self.store.close()

    @initialize()
    def empty(self) -> None:
        self.database.execute(EMPTY.encode())

    @rule(batch=st.lists(events, min_size=1, max_size=5))
    def insert(self, batch: list[dict[str, Any]]) -> None:
        made = [make_event(**event) for event in batch]
        store_batch(self.store, made)
        self.sent += made

    @rule()
    def insert_again(self) -> None:
        if self.sent:
            store_batch(self.store, self.sent[-3:])

    @rule()
    def fold(self) -> None:
        fold_deltas(self.database)

    @rule(provider=providers, input_rate=rates, output_rate=st.none() | rates)
    def set_price(self, provider: str, input_rate: Decimal, output_rate: Decimal | None) -> None:
        self.database.execute(
            "INSERT INTO llm_prices (provider, model_pattern, input_usd_per_token, output_usd_per_token, source)"
            " VALUES (%s, '*', %s, %s, 'test')",
            (provider, input_rate, output_rate),
        )

    @rule(baseline=st.tuples(providers, st.just("any")), only_unpriced=st.booleans(), provider=st.none() | providers)
    def reprice(self, baseline: tuple[str, str], only_unpriced: bool, provider: str | None) -> None:
        reprice_requests(
            self.database, baseline=baseline, only_unpriced=only_unpriced, provider=provider, dry_run=False
        )

    @rule(zone=st.sampled_from(ZONES))
    def rebuild(self, zone: str) -> None:
        rebuild_daily(self.database, zone)
        self.zone = zone

    @rule(tag_key=tag_keys)
    def add_tag(self, tag_key: str) -> None:
        add_tag_key(self.database, tag_key)

    @rule(tag_key=tag_keys)
    def remove_tag(self, tag_key: str) -> None:
        remove_tag_key(self.database, tag_key)

    @rule(days=st.integers(1, 3))
    def drop(self, days: int) -> None:
        before = sum_usage(compute_usage(self.database))
        drop_old_partitions(self.database, 1, START + (days + 1) * timedelta(days=1))
        gone = add_totals(before, sum_usage(compute_usage(self.database)), sign=-1)
        self.dropped = add_totals(self.dropped, gone)

    @rule()
    def repair(self) -> None:
        assert reconcile(self.database, repair=True).is_clean

    @invariant()
    def usage_is_exact(self) -> None:
        expected = compute_usage(self.database, self.zone)
        current = fetch_usage(self.database, "llm_costs_current")

        if not any(self.dropped.values()):
            assert {key: row for key, row in current.items() if any(sum_usage({key: row}).values())} == expected
            assert sum_usage(current).get("requests", ZERO) == len(self.sent)
        counted, added = sum_usage(current), add_totals(sum_usage(expected), self.dropped)
        assert not any(add_totals(counted, added, sign=-1).values())
        assert reconcile(self.database).is_clean

    @invariant()
    def hours_are_exact(self) -> None:
        retained_from = select_day_settings(self.database).raw_retained_from
        counted, expected = (
            {key: row for key, row in hours.items() if key[0] >= retained_from}
            for hours in (fetch_hours(self.database), compute_hours(self.database))
        )
        assert counted == expected

    @invariant()
    def fallbacks_are_exact(self) -> None:
        if not any(self.dropped.values()):
            assert fetch_fallbacks(self.database) == compute_fallbacks(self.database, self.zone)
        # also those whose raw requests are gone
        counted = sum(requests for requests, _ in fetch_fallbacks(self.database).values())
        assert counted == sum_usage(fetch_usage(self.database, "llm_costs_current")).get("fallbacks", 0)

    @invariant()
    def tags_are_exact(self) -> None:
        if not any(self.dropped.values()):
            assert fetch_tags(self.database) == compute_tags(self.database, self.zone)


def sum_usage(usage: dict[Key, Row]) -> Totals:
    """Add up each measure over all rows, histograms by bucket."""
    total: Totals = {}
    for row in usage.values():
        histogram = {f"bucket {number}": count for number, count in enumerate(row["duration_histogram"])}
        numbers = {name: value for name, value in row.items() if name != "duration_histogram"}
        total = add_totals(total, {name: Decimal(value) for name, value in (histogram | numbers).items()})
    return total


def add_totals(first: Totals, second: Totals, *, sign: int = 1) -> Totals:
    """Add, or with sign -1 subtract, exactly; what is missing is 0."""
    names = first.keys() | second.keys()
    return {name: sum_exactly([first.get(name, ZERO), EXACT.multiply(second.get(name, ZERO), sign)]) for name in names}


def test_usage_is_exact_after_any_sequence_of_events(connection: Database, database_url: str) -> None:
    class Machine(UsageMachine):
        def __init__(self) -> None:
            super().__init__(connection, database_url)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=15,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
