"""What Redis decides by the projection of a circuit (part C.8): the fence of a publication, and admission. Pure.

This is the table that the Lua scripts follow, and a test holds them to it; times are seconds of one clock.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from fuseboard_schema.event import Admission

AdmissionReason = Literal[
    "no_state", "forced_open", "disabled", "throttled", "closed", "open", "pipeline_dead", "probes_busy", "half_open"
]


class Projected(NamedTuple):
    """A circuit as workers see it; revision is what fences publications."""

    revision: int
    state: Literal["closed", "open"] = "closed"
    epoch: int = 1
    open_until: float | None = None
    throttle_until: float | None = None
    override: Literal["forced_open", "disabled"] | None = None


class Lease(NamedTuple):
    """The right to one probe of an epoch, until it expires."""

    epoch: int
    lease_id: str
    expires_at: float


class Grant(NamedTuple):
    """How a call is let through, None for not at all; why; and after how long it may ask again."""

    admission: Admission | None
    reason: AdmissionReason
    epoch: int | None = None
    wait_seconds: float | None = None


def merge_projection(
    stored: Projected | None, published: Projected, *, throttle_reset_revision: int = 0
) -> Projected | None:
    """Merge a publication into what is stored; None when it is no newer, so that nothing goes backwards (P8).

    The throttle keeps the later deadline, unless an operator reset it at a revision that is not stored yet: then what
    workers had hinted is dropped as well.
    """
    if stored is not None and published.revision <= stored.revision:
        return None
    if stored is None or stored.revision < throttle_reset_revision:
        return published
    return published._replace(throttle_until=find_latest(stored.throttle_until, published.throttle_until))


def merge_hint(hint_until: float | None, retry_after_seconds: float, now: float, *, cap_seconds: float) -> float | None:
    """Merge what one worker was told by a provider into what is known; None without a deadline ahead."""
    known = check_hint(hint_until, now, cap_seconds)
    told = now + min(retry_after_seconds, cap_seconds) if retry_after_seconds > 0 else None
    return find_latest(known, told)


def check_hint(hint_until: float | None, now: float, cap_seconds: float) -> float | None:
    """Drop a hint from further ahead than any worker can have been told."""
    return None if hint_until is None or hint_until > now + cap_seconds else hint_until


def find_latest(*deadlines: float | None) -> float | None:
    """Find the latest of the deadlines that there are."""
    return max((until for until in deadlines if until is not None), default=None)


def list_live_leases(leases: Iterable[Lease], epoch: int, now: float) -> list[Lease]:
    """List the leases that take a place: of this epoch, and not expired."""
    return [lease for lease in leases if lease.epoch == epoch and lease.expires_at > now]


def decide_admission(  # noqa: PLR0911 - one return for each row of the table
    circuit: Projected | None,
    leases: Iterable[Lease],
    now: float,
    *,
    lease_id: str,
    max_probes: int,
    hint_until: float | None = None,
    cap_seconds: float = 3600.0,
    heartbeat_at: float | None = None,
    dead_after_seconds: float = 10.0,
) -> Grant:
    """Decide on one call by the state in Redis; for a probe the caller adds its lease, unless it is held already.

    Without a heartbeat it is not known that the consumers are dead, so they are not taken to be.
    """
    if circuit is None:
        return Grant("normal", "no_state")
    epoch = circuit.epoch
    if circuit.override == "forced_open":
        return Grant(None, "forced_open", epoch)
    if circuit.override == "disabled":
        return Grant("normal", "disabled", epoch)
    throttle_until = find_latest(circuit.throttle_until, check_hint(hint_until, now, cap_seconds))
    if throttle_until is not None and now < throttle_until:
        return Grant(None, "throttled", epoch, throttle_until - now)
    if circuit.state == "closed":
        return Grant("normal", "closed", epoch)
    if circuit.open_until is not None and now < circuit.open_until:
        return Grant(None, "open", epoch, circuit.open_until - now)
    if heartbeat_at is not None and now - heartbeat_at > dead_after_seconds:
        return Grant("normal", "pipeline_dead", epoch)
    held = {lease.lease_id for lease in list_live_leases(leases, epoch, now)}
    if len(held) >= max_probes and lease_id not in held:
        return Grant(None, "probes_busy", epoch)
    return Grant("probe", "half_open", epoch)
