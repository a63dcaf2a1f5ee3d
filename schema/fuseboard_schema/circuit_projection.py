"""What Redis decides by the projection of a circuit (part C.8): the fence of a publication, and admission. Pure.

This is the table that the Lua scripts follow; times are seconds of one clock.
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


class Admitted(NamedTuple):
    """How a call is let through, None for not at all; why; and after how long it may ask again."""

    admission: Admission | None
    reason: AdmissionReason
    epoch: int | None = None
    wait_seconds: float | None = None


def merge_projection(
    stored: Projected | None, published: Projected, *, throttle_was_reset: bool = False
) -> Projected | None:
    """Merge a publication into what is stored; None when it is no newer, so that nothing goes backwards (P8).

    The throttle keeps the later deadline, which a worker may have written itself, unless an operator reset it.
    """
    if stored is None:
        return published
    if published.revision <= stored.revision:
        return None
    deadlines = [at for at in (stored.throttle_until, published.throttle_until) if at is not None]
    if throttle_was_reset or not deadlines:
        return published
    return published._replace(throttle_until=max(deadlines))


def list_live_leases(leases: Iterable[Lease], epoch: int, now: float) -> list[Lease]:
    """List the leases that take a place: of this epoch, and not expired."""
    return [lease for lease in leases if lease.epoch == epoch and lease.expires_at > now]


def decide_admission(  # noqa: PLR0911 - one return for each row of the table
    circuit: Projected | None,
    leases: Iterable[Lease],
    now: float,
    *,
    max_probes: int,
    heartbeat_at: float | None = None,
    dead_after_seconds: float = 10.0,
) -> Admitted:
    """Decide on one call by the state in Redis; for a probe the caller adds its lease.

    Without a heartbeat it is not known that the consumers are dead, so they are not taken to be.
    """
    if circuit is None:
        return Admitted("normal", "no_state")
    epoch = circuit.epoch
    if circuit.override == "forced_open":
        return Admitted(None, "forced_open", epoch)
    if circuit.override == "disabled":
        return Admitted("normal", "disabled", epoch)
    if circuit.throttle_until is not None and now < circuit.throttle_until:
        return Admitted(None, "throttled", epoch, circuit.throttle_until - now)
    if circuit.state == "closed":
        return Admitted("normal", "closed", epoch)
    if circuit.open_until is not None and now < circuit.open_until:
        return Admitted(None, "open", epoch, circuit.open_until - now)
    if heartbeat_at is not None and now - heartbeat_at > dead_after_seconds:
        return Admitted("normal", "pipeline_dead", epoch)
    if len(list_live_leases(leases, epoch, now)) >= max_probes:
        return Admitted(None, "probes_busy", epoch)
    return Admitted("probe", "half_open", epoch)
