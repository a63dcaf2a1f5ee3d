"""From a provider's locked row and what was just inserted to its next row: figures, circuit and transitions. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from fuseboard_consumer.circuit import find_released_leases, fold_events
from fuseboard_consumer.circuit_changes import CircuitChanges
from fuseboard_consumer.circuit_event import make_circuit_event
from fuseboard_consumer.circuit_state import Circuit, Transition
from fuseboard_consumer.circuit_window import Window
from fuseboard_consumer.decode import Accepted
from fuseboard_consumer.health import Health, MinuteUsage, fold_health
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.event import RequestEvent

# an event and when it occurred, in seconds since 1970
TimedEvent = tuple[RequestEvent, float]


class LockedHealth(NamedTuple):
    """A provider's health row as locked, with the settings that hold for it."""

    health: Health
    circuit: Circuit
    window: Window
    settings: CircuitSettings
    revision: int


class FoldedHealth(NamedTuple):
    """What a transaction makes of a provider's row, and what its commit changes for workers."""

    health: Health
    circuit: Circuit
    window: Window
    transitions: tuple[Transition, ...]
    changes: CircuitChanges


def group_inserted(accepted: Accepted, minutes: list[MinuteUsage]) -> dict[str, list[TimedEvent]]:
    """Group the events that were actually inserted by provider; of one that came twice, the first."""
    timed: Iterable[TimedEvent] = zip(accepted.events, accepted.epochs, strict=True)
    if sum(minute.requests for minute in minutes) < len(accepted.events):
        timed = _choose_inserted(timed, minutes)
    grouped: defaultdict[str, list[TimedEvent]] = defaultdict(list)
    for event, at in timed:
        grouped[event.provider].append((event, at))
    return grouped


def fold_provider(
    locked: LockedHealth, minutes: list[MinuteUsage], events: list[TimedEvent], now: float
) -> FoldedHealth:
    """Fold what was inserted of one provider; `now` is the database's clock after its row was locked."""
    calls = [make_circuit_event(event, at, locked.settings) for event, at in events]
    circuit, window, transitions = fold_events(locked.circuit, locked.window, calls, locked.settings, now)
    provider = circuit.target
    is_changed = bool(transitions) or circuit.throttle_until != locked.circuit.throttle_until
    changes = CircuitChanges(
        frozenset([provider] if is_changed else []),
        tuple((provider, epoch, lease_id) for epoch, lease_id in find_released_leases(calls)),
    )
    return FoldedHealth(fold_health(locked.health, minutes), circuit, window, transitions, changes)


def _choose_inserted(timed: Iterable[TimedEvent], minutes: list[MinuteUsage]) -> list[TimedEvent]:
    """Choose by id and time: one id on two UTC days is two requests."""
    inserted = {key for minute in minutes for key in zip(minute.event_ids or (), minute.event_times or (), strict=True)}
    chosen = []
    for event, at in timed:
        key = (event.event_id, event.occurred_at)
        if key in inserted:
            inserted.remove(key)
            chosen.append((event, at))
    return chosen
