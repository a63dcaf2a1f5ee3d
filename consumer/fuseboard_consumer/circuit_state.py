"""The values of a circuit, and its opening and closing. Pure.

All times are seconds since 1970, rounded to the microsecond that PostgreSQL keeps, so that a row read back is the row
written.
"""

from hashlib import blake2b
from typing import Final, Literal, NamedTuple

from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.event import Admission
from fuseboard_schema.outcome import Outcome

State = Literal["closed", "open"]
Override = Literal["forced_open", "disabled"]
EffectiveState = Literal["closed", "open", "half_open", "forced_open", "disabled"]
RuleReason = Literal["failure_rate", "slow_rate", "consecutive", "fatal"]
OpenReason = RuleReason | Literal["probe_failed"]
Reason = (
    OpenReason
    | Literal[
        "probes_succeeded", "forced_open", "disabled", "override_cleared", "override_expired", "reset", "throttle_reset"
    ]
)

# beyond this the cap has long been reached, and floating point ends
MAX_DOUBLINGS: Final = 64


class Circuit(NamedTuple):
    """The row that says whether a target may be called: one per provider."""

    target: str
    state: State = "closed"
    epoch: int = 1
    epoch_started_at: float = 0.0
    version: int = 0
    open_until: float | None = None
    open_streak: int = 0
    throttle_until: float | None = None
    throttle_streak: int = 0
    override: Override | None = None
    override_by: str | None = None
    override_reason: str | None = None
    override_until: float | None = None


class CircuitEvent(NamedTuple):
    """What the circuit needs of one call. The order of its fields is the order of events: time, then id."""

    finished_at: float
    event_id: str
    outcome: Outcome
    # of workers that give no name there is one
    worker_id: str = ""
    is_slow: bool = False
    epoch: int | None = None
    admission: Admission = "normal"
    retry_after_seconds: float | None = None
    started_at: float = 0.0
    lease_id: str | None = None


class Transition(NamedTuple):
    """One change of a circuit: what it was and is, why and since when, and what was known in its window."""

    target: str
    version: int
    from_state: EffectiveState
    to_state: EffectiveState
    reason: Reason
    epoch: int
    at: float
    cause_event_id: str | None = None
    actor: str | None = None
    note: str | None = None
    calls: int = 0
    bad: int = 0
    slow: int = 0
    open_until: float | None = None


def find_effective_state(circuit: Circuit, now: float) -> EffectiveState:
    """Find what a circuit is at a time: nobody has to write half_open, so nobody can race for it."""
    if circuit.override is not None:
        return circuit.override
    if circuit.state == "open" and circuit.open_until is not None and now >= circuit.open_until:
        return "half_open"
    return circuit.state


def is_throttled(circuit: Circuit, now: float) -> bool:
    """Tell whether the provider asked to be left alone until later than now."""
    return circuit.throttle_until is not None and now < circuit.throttle_until


def open_circuit(circuit: Circuit, reason: OpenReason, settings: CircuitSettings, now: float) -> Circuit:
    """Open a circuit, or open it again after a probe, for longer each time in a row."""
    was_calm = circuit.state == "closed" and now - circuit.epoch_started_at >= settings.backoff_reset_after_s
    streak = 1 if was_calm else circuit.open_streak + 1
    opened = start_epoch(circuit._replace(state="open", open_streak=streak), now)
    seconds = min(settings.open_max_s, settings.open_base_s * settings.open_mult ** min(streak - 1, MAX_DOUBLINGS))
    if reason == "fatal":
        seconds = max(seconds, settings.fatal_open_s)
    seconds *= 1 + settings.jitter_ratio * spread(opened.target, opened.epoch)
    return opened._replace(open_until=round(now + seconds, 6))


def close_circuit(circuit: Circuit, now: float) -> Circuit:
    """Close a circuit; how often it was open in a row is kept until it has been calm."""
    return start_epoch(circuit._replace(state="closed", open_until=None), now)


def start_epoch(circuit: Circuit, now: float) -> Circuit:
    """Start a new epoch: events of older ones say nothing about it, and its window is empty."""
    return circuit._replace(epoch=circuit.epoch + 1, version=circuit.version + 1, epoch_started_at=now)


def spread(target: str, epoch: int) -> float:
    """Spread targets and epochs evenly over 0 to 1, always the same way, so that a replay gives the same times."""
    digest = blake2b(f"{target}|{epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
