"""The circuit breaker: from a circuit, its window and events to the next circuit, window and transitions. Pure.

Part C.6 of the specification (R1 to R6). Callers fold each event once, with the database's clock as `now`. What holds
then (part C.7), exactly while the window is exact and, beyond, as circuit_window says:

P2 events of one epoch that open nothing in any prefix give the same circuit and window in any order and batching; of
   the throttle, for events that carry a hint, as an episode without one is as long as those seen before it
P3 if all events together break a rule at the newest one's time, the circuit has been opened, whatever their order
P4 events in order give the same in any batches
P6 events of older epochs change nothing but the throttle's deadline
P9 the same events in the same order with the same `now` give the same transitions, jitter included
"""

from collections.abc import Iterable
from operator import itemgetter
from typing import NamedTuple

from fuseboard_consumer.circuit_counts import Counts
from fuseboard_consumer.circuit_rules import find_broken_rule, throttle_circuit
from fuseboard_consumer.circuit_state import (
    Circuit,
    CircuitEvent,
    OpenReason,
    Reason,
    Transition,
    close_circuit,
    find_effective_state,
    open_circuit,
)
from fuseboard_consumer.circuit_window import EMPTY_WINDOW, Window
from fuseboard_schema.circuit_settings import CircuitSettings

_get_time, _get_id = itemgetter(0), itemgetter(1)


class Folded(NamedTuple):
    """A circuit and its window after a batch, and the transitions on the way, oldest first."""

    circuit: Circuit
    window: Window
    transitions: tuple[Transition, ...]


def fold_event(
    circuit: Circuit, window: Window, event: CircuitEvent, settings: CircuitSettings, now: float
) -> tuple[Circuit, Window, Transition | None]:
    """Fold one event; at most one transition comes of it."""
    folded = fold_events(circuit, window, [event], settings, now)
    return folded.circuit, folded.window, next(iter(folded.transitions), None)


def fold_events(
    circuit: Circuit, window: Window, events: Iterable[CircuitEvent], settings: CircuitSettings, now: float
) -> Folded:
    """Fold the new events of one transaction in order of their time and id, each as fold_event would."""
    ordered = order_events(events, settings, now)
    if not ordered:
        return Folded(circuit, window, ())
    fold = _Fold(circuit, window, settings, now)
    fold.apply_all(ordered)
    return Folded(fold.circuit, fold.counts.freeze(), tuple(fold.transitions))


def order_events(events: Iterable[CircuitEvent], settings: CircuitSettings, now: float) -> list[CircuitEvent]:
    """Sort events by time and id; those from too far ahead count as from the end of what is allowed."""
    ordered = _sort_by_moment(events)
    latest = now + settings.max_future_skew_s
    if ordered and ordered[-1].finished_at > latest:
        clamped = [event._replace(finished_at=min(event.finished_at, latest)) for event in ordered]
        return _sort_by_moment(clamped)
    return ordered


def _sort_by_moment(events: Iterable[CircuitEvent]) -> list[CircuitEvent]:
    # by id and then by time: less than half the work of one sort by pairs, which would all have to be made
    return sorted(sorted(events, key=_get_id), key=_get_time)


def find_released_leases(events: Iterable[CircuitEvent]) -> list[tuple[int, str]]:
    """Find the epoch and lease of each probe that told nothing: its place is free for another one (R6)."""
    return [
        (event.epoch, event.lease_id)
        for event in events
        if event.admission == "probe" and event.outcome in {"neutral", "throttle"} and event.epoch and event.lease_id
    ]


class _Fold:
    """One transaction's way through the rules."""

    def __init__(self, circuit: Circuit, window: Window, settings: CircuitSettings, now: float) -> None:
        self.circuit = circuit
        self.counts = Counts(window, settings)
        self.transitions: list[Transition] = []
        self._settings = settings
        self._now = now
        self._oldest_age = settings.window_s + settings.allowed_lateness_s

    def apply_all(self, events: list[CircuitEvent]) -> None:
        """Apply events in order; runs of plain successes, which is nearly all there is, in one go."""
        # R3 is left to apply, for events within a second of its limit
        oldest = self._now - self._oldest_age + 1
        index = 0
        while index < len(events):
            event, circuit, stop = events[index], self.circuit, index
            if event.outcome == "success" and not circuit.throttle_streak:
                if self._is_ignored(event):
                    index += 1
                    continue
                if circuit.state == "closed":
                    stop = self.counts.count_successes(events, index, circuit, oldest)
            if stop > index:
                self._judge_rules(events[stop - 1])
                index = stop
            else:
                self.apply(event)
                index += 1

    def apply(self, event: CircuitEvent) -> None:
        at = event.finished_at
        if event.outcome != "success" or self.circuit.throttle_streak:
            self.circuit = throttle_circuit(self.circuit, event, at, self._settings)
        if self._is_ignored(event) or event.outcome in {"neutral", "throttle"}:
            return
        if self.circuit.state == "open":
            if event.admission == "probe":
                self._judge_probe(event)
        elif event.admission != "panic":
            self._judge_call(event, at)

    def _is_ignored(self, event: CircuitEvent) -> bool:
        """Tell whether the circuit is overridden (R2), or the event too old (R3) or of another epoch (R4)."""
        circuit = self.circuit
        if circuit.override is not None or self._now - event.finished_at > self._oldest_age:
            return True
        # an epoch of 0 is none: the worker saw no state
        return (event.epoch != circuit.epoch) if event.epoch else (event.started_at < circuit.epoch_started_at)

    def _judge_call(self, event: CircuitEvent, at: float) -> None:
        self.counts.count(event, at)
        self._judge_rules(event)

    def _judge_rules(self, event: CircuitEvent) -> None:
        reason = find_broken_rule(self.counts, self._settings)
        if reason is not None:
            self._open(reason, event)

    def _judge_probe(self, event: CircuitEvent) -> None:
        if event.outcome != "success" or event.is_slow:
            self._open("fatal" if event.outcome == "fatal" else "probe_failed", event)
            return
        self.counts.good_probes += 1
        if self.counts.good_probes >= self._settings.success_threshold:
            self._enter(close_circuit(self.circuit, self._now), "probes_succeeded", event)

    def _open(self, reason: OpenReason, event: CircuitEvent) -> None:
        self._enter(open_circuit(self.circuit, reason, self._settings, self._now), reason, event)

    def _enter(self, circuit: Circuit, reason: Reason, event: CircuitEvent) -> None:
        counts = self.counts
        self.transitions.append(
            Transition(
                circuit.target,
                circuit.version,
                find_effective_state(self.circuit, self._now),
                circuit.state,
                reason,
                circuit.epoch,
                self._now,
                event.event_id,
                calls=counts.calls,
                bad=counts.bad,
                slow=counts.slow,
                open_until=circuit.open_until,
            )
        )
        self.circuit = circuit
        self.counts = Counts(EMPTY_WINDOW, self._settings)
