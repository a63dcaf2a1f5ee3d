"""Circuits as the consumer stores them: reading them, setting them up, and recording what was folded into them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from psycopg.rows import dict_row

from fuseboard_consumer import batch as batch_module
from fuseboard_consumer import circuit_store
from fuseboard_consumer.circuit_event import make_circuit_event
from fuseboard_consumer.circuit_fold import FoldedHealth, LockedHealth, TimedEvent, fold_provider
from fuseboard_consumer.circuit_state import Circuit, CircuitEvent, Transition
from fuseboard_consumer.circuit_window import Window
from fuseboard_consumer.health import MinuteUsage
from queries import Database

SELECT_TRANSITIONS = b"""
    SELECT provider AS target, version, from_state, to_state, reason, epoch,
        extract(epoch FROM occurred_at)::double precision AS at,
        replace(cause_event_id::text, '-', '') AS cause_event_id,
        actor, note, calls, bad, slow, extract(epoch FROM open_until)::double precision AS open_until
    FROM llm_circuit_transitions WHERE provider = %s ORDER BY version"""


class StoredCircuit(NamedTuple):
    circuit: Circuit
    window: Window
    revision: int


def fetch_circuit(connection: Database, provider: str = "claude") -> StoredCircuit:
    """Read a circuit as the consumer does."""
    (locked,), _ = circuit_store.select_health_for_update(connection, [provider])
    return StoredCircuit(locked.circuit, locked.window, locked.revision)


def fetch_transitions(connection: Database, provider: str = "claude") -> list[Transition]:
    """Read a provider's history, oldest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [Transition(**row) for row in cursor.execute(SELECT_TRANSITIONS, (provider,))]


def set_circuit_settings(connection: Database, provider: str = "claude", **settings: Any) -> None:  # noqa: ANN401 - any setting
    """Give a provider, new or known, settings of its own."""
    connection.execute(
        "INSERT INTO llm_providers (name, display_name, provider_type, priority, circuit_settings, registered_by)"
        " VALUES (%(name)s, %(name)s, 'remote', 10, %(settings)s, 'operator')"
        " ON CONFLICT (name) DO UPDATE SET circuit_settings = excluded.circuit_settings",
        {"name": provider, "settings": json.dumps(settings)},
    )
    connection.execute("INSERT INTO llm_provider_health (provider) VALUES (%s) ON CONFLICT DO NOTHING", (provider,))


class FoldRecord(NamedTuple):
    """What one transaction folded into a provider's circuit."""

    locked: LockedHealth
    events: list[CircuitEvent]
    now: float


@contextmanager
def recording_folds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FoldRecord]]:
    """Record every fold of the consumer in this process until the block ends."""
    records: list[FoldRecord] = []

    def record(locked: LockedHealth, minutes: list[MinuteUsage], events: list[TimedEvent], now: float) -> FoldedHealth:
        calls = [make_circuit_event(event, at, locked.settings) for event, at in events]
        records.append(FoldRecord(locked, calls, now))
        return fold_provider(locked, minutes, events, now)

    with monkeypatch.context() as patched:
        patched.setattr(batch_module, "fold_provider", record)
        yield records


def choose_records(records: Sequence[FoldRecord], provider: str) -> list[FoldRecord]:
    """Choose what was folded into one provider's circuit, in order of the revisions that it found."""
    chosen = [record for record in records if record.locked.circuit.target == provider]
    return sorted(chosen, key=lambda record: record.locked.revision)
