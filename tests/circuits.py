"""Circuit events for tests, and the specification's fold taken literally: every counted event kept, nothing clever."""

from dataclasses import dataclass, field
from typing import Any

from fuseboard_consumer.circuit_rules import throttle_circuit
from fuseboard_consumer.circuit_state import (
    Circuit,
    CircuitEvent,
    OpenReason,
    RuleReason,
    Transition,
    close_circuit,
    open_circuit,
)
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.outcome import Outcome

NOW = 1_000.0


def make_call(at: float, outcome: Outcome = "success", **fields: Any) -> CircuitEvent:  # noqa: ANN401 - any field
    """Make an event of epoch 1 that ended at `at`; its id follows from that unless one is given."""
    values = {"event_id": f"{at:014.6f}", "epoch": 1, **fields}
    return CircuitEvent(finished_at=at, outcome=outcome, **values)


def make_calls(times: list[float], outcome: Outcome = "success", **fields: Any) -> list[CircuitEvent]:  # noqa: ANN401 - any field
    """Make one event per time."""
    return [make_call(at, outcome, **fields) for at in times]


@dataclass
class LiteralCircuit:
    """R1 to R6 as they are written, over a list of events that is read anew each time."""

    circuit: Circuit
    settings: CircuitSettings
    counted: list[CircuitEvent] = field(default_factory=list)
    good_probes: int = 0
    transitions: list[tuple[int, str, str | None]] = field(default_factory=list)

    def fold(self, event: CircuitEvent, now: float) -> None:
        settings = self.settings
        at = min(event.finished_at, now + settings.max_future_skew_s)
        event = event._replace(finished_at=at)
        self.circuit = circuit = throttle_circuit(self.circuit, event, at, settings)
        is_stale = now - at > settings.window_s + settings.allowed_lateness_s
        is_fenced = event.epoch != circuit.epoch if event.epoch else event.started_at < circuit.epoch_started_at
        if circuit.override or is_stale or is_fenced or event.outcome in ("neutral", "throttle"):
            return
        if circuit.state == "closed" and event.admission != "panic":
            self.counted.append(event)
            reason = self.find_reason()
            if reason:
                self.enter(open_circuit(circuit, reason, settings, now), reason, event)
        elif circuit.state == "open" and event.admission == "probe":
            self.judge_probe(event, now)

    def judge_probe(self, event: CircuitEvent, now: float) -> None:
        if event.outcome == "success" and not event.is_slow:
            self.good_probes += 1
            if self.good_probes >= self.settings.success_threshold:
                self.enter(close_circuit(self.circuit, now), "probes_succeeded", event)
            return
        reason: OpenReason = "fatal" if event.outcome == "fatal" else "probe_failed"
        self.enter(open_circuit(self.circuit, reason, self.settings, now), reason, event)

    def find_reason(self) -> OpenReason | None:
        settings = self.settings
        newest_at = max(event.finished_at for event in self.counted)
        window = [event for event in self.counted if event.finished_at > newest_at - settings.window_s]
        quorum = min(settings.min_reporters, len({event.worker_id for event in window}))
        bad = [event for event in window if event.outcome != "success"]
        slow = [event for event in window if event.is_slow]
        rules: tuple[tuple[RuleReason, list[CircuitEvent], float], ...] = (
            ("failure_rate", bad, settings.failure_rate),
            ("slow_rate", slow, settings.slow_rate if settings.slow_ms is not None else 2),
        )
        for reason, those, rate in rules:
            is_high = len(window) >= settings.min_calls and len(those) / len(window) >= rate
            if is_high and len({event.worker_id for event in those}) >= quorum:
                return reason
        row = self.find_row(newest_at, {"failure", "fatal"})
        if len(row) >= settings.consecutive_failures and len({event.worker_id for event in row}) >= quorum:
            return "consecutive"
        return "fatal" if len(self.find_row(newest_at, {"fatal"})) >= settings.fatal_threshold else None

    def find_row(self, newest_at: float, outcomes: set[str]) -> list[CircuitEvent]:
        row: list[CircuitEvent] = []
        for event in sorted(self.counted, key=lambda event: event[:2], reverse=True):
            too_old = event.finished_at <= newest_at - self.settings.consecutive_max_age_s
            if event.outcome not in outcomes or too_old:
                break
            row.append(event)
        return row

    def enter(self, circuit: Circuit, reason: str, event: CircuitEvent) -> None:
        self.circuit, self.counted, self.good_probes = circuit, [], 0
        self.transitions.append((circuit.version, reason, event.event_id))


def name_transitions(transitions: tuple[Transition, ...] | list[Transition]) -> list[tuple[int, str, str | None]]:
    """Say of each transition what the literal circuit keeps."""
    return [(transition.version, transition.reason, transition.cause_event_id) for transition in transitions]
