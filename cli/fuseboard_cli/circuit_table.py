"""How circuits are shown. The words are those of the database; the symbols differ in form, not in colour alone."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.table import Table

from fuseboard_api.rows import CircuitHistoryRow
from fuseboard_cli.circuit_rows import CircuitRow
from fuseboard_cli.output import clean_text, format_percent, format_span, format_time, make_table

SYMBOLS: Final = {"closed": "●", "open": "✖", "half_open": "◐", "forced_open": "■", "disabled": "○"}
# reasons that say what the window held
COUNTED: Final = {"failure_rate", "slow_rate", "consecutive", "fatal"}


def name_state(state: str) -> str:
    """Name a state without its symbol."""
    return state.replace("_", "-" if state == "half_open" else " ")


def describe_state(state: str) -> str:
    """Name a state with its symbol."""
    return f"{SYMBOLS[state]} {name_state(state)}"


def render_circuits(circuits: Iterable[CircuitRow]) -> Table:
    """Render the table of circuits."""
    return make_table(
        "Circuits, in order of choice",
        ("provider", "state", "for #", "why", "next", "10 min #"),
        (
            (
                circuit.provider if circuit.enabled else f"{circuit.provider} (not in use)",
                describe_state(circuit.state),
                "-" if circuit.since is None else format_countdown(circuit.read_at, circuit.since),
                describe_reason(circuit),
                describe_next(circuit) or "-",
                format_percent(circuit.success_rate),
            )
            for circuit in circuits
        ),
    )


def list_circuit_lines(circuits: Iterable[CircuitRow]) -> list[str]:
    """List one plain line per circuit, with times and not with ages, so that a log can be made of them."""
    lines: list[str] = []
    for circuit in circuits:
        parts = [
            f"{circuit.provider} {name_state(circuit.state)}",
            f"since {format_time(circuit.since)} UTC",
            *([describe_reason(circuit)] if circuit.reason or circuit.override else []),
            *filter(None, [describe_next(circuit)]),
            *([] if circuit.enabled else ["not in use"]),
        ]
        lines.append(clean_text(f"{format_time(circuit.read_at)} {'; '.join(parts)}"))
    return lines


def describe_reason(circuit: CircuitRow) -> str:
    """Say why a circuit is in its state: who ordered it and why, or which rule was broken by what."""
    if circuit.override:
        return f"{circuit.override_by}: {circuit.override_reason}"
    counts = count_calls(circuit.reason, circuit.window_calls, circuit.window_bad, circuit.window_slow)
    error = f", last {circuit.last_error_type}" if circuit.state in ("open", "half_open") else ""
    known_error = error if circuit.last_error_type else ""
    return f"{describe_change(circuit.reason, circuit.actor, circuit.note)}{counts}{known_error}"


def describe_change(reason: str | None, actor: str | None, note: str | None) -> str:
    """Say why a state began, and who ordered it."""
    return f"{reason or '-'}{f', {actor}: {note}' if actor else ''}"


def count_calls(reason: str | None, calls: int | None, bad: int | None, slow: int | None) -> str:
    """Say what the window held, where a rule went by that."""
    if not calls or reason not in COUNTED:
        return ""
    return f", {slow} of {calls} slow" if reason == "slow_rate" else f", {bad} of {calls} failed"


def describe_next(circuit: CircuitRow) -> str:
    """Say what will happen by itself: a probe, the end of a throttle or of an override; empty: nothing."""
    now = circuit.read_at
    # it is often thought of a disabled circuit that it lets nothing through
    told = ["admits all"] if circuit.state == "disabled" else []
    if circuit.override_until:
        told.append(f"ends in {format_countdown(circuit.override_until, now)}")
    if circuit.next_probe_at:
        told.append(f"probe in {format_countdown(circuit.next_probe_at, now)}")
    if circuit.state == "half_open":
        told.append("probes now")
    if circuit.throttle_until:
        told.append(f"throttled for {format_countdown(circuit.throttle_until, now)}")
    return ", ".join(told)


def format_countdown(at: datetime, now: datetime) -> str:
    """Format how long it is until then."""
    return format_span((at - now).total_seconds())


def render_history(rows: Iterable[CircuitHistoryRow]) -> Table:
    """Render the table of states, newest first."""
    return make_table(
        "States of circuits, newest first",
        ("from, UTC #", "provider", "state", "why", "lasted #"),
        (
            (
                format_time(row.occurred_at),
                row.provider,
                describe_state(row.to_state),
                describe_change(row.reason, row.actor, row.note)
                + count_calls(row.reason, row.calls, row.bad, row.slow),
                "so far" if row.lasted_seconds is None else format_span(row.lasted_seconds),
            )
            for row in rows
        ),
    )
