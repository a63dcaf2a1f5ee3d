"""What operators do to a circuit: force it open, disable it, clear that, reset it. Pure.

Each starts a new epoch, so that no call from before it can undo it, and leaves an empty window.
"""

from typing import NamedTuple

from fuseboard_consumer.circuit_state import (
    Circuit,
    Override,
    Reason,
    Transition,
    close_circuit,
    find_effective_state,
    start_epoch,
)
from fuseboard_consumer.circuit_window import EMPTY_WINDOW, Window

SWEEPER = "sweeper"


class Order(NamedTuple):
    """Who wants it, and why; an override ends by itself at `until`, in seconds since 1970, if that is given."""

    actor: str
    reason: str
    until: float | None = None


class Controlled(NamedTuple):
    """The circuit and its window after a control, and the transition to be kept."""

    circuit: Circuit
    window: Window
    transition: Transition


def force_open(circuit: Circuit, order: Order, now: float) -> Controlled:
    """Let no call through until it is cleared or expires; raises ValueError for an order without actor or reason."""
    return _override(circuit, "forced_open", order, now)


def disable_circuit(circuit: Circuit, order: Order, now: float) -> Controlled:
    """Let every call through and never open; raises ValueError for an order without actor or reason."""
    return _override(circuit, "disabled", order, now)


def clear_override(circuit: Circuit, order: Order, now: float) -> Controlled:
    """Go back to what the circuit was before the override; raises ValueError for a wrong order."""
    _check_order(order, now, may_expire=False)
    return _change(circuit, start_epoch(_drop_override(circuit), now), "override_cleared", order, now)


def reset_circuit(circuit: Circuit, order: Order, now: float) -> Controlled:
    """Close the circuit as if new, without an override; a throttle stays. Raises ValueError for a wrong order."""
    _check_order(order, now, may_expire=False)
    fresh = close_circuit(_drop_override(circuit)._replace(open_streak=0), now)
    return _change(circuit, fresh, "reset", order, now)


def reset_throttle(circuit: Circuit, order: Order, now: float) -> Controlled:
    """Forget that the provider asked to be left alone; raises ValueError for a wrong order."""
    _check_order(order, now, may_expire=False)
    changed = start_epoch(circuit._replace(throttle_until=None, throttle_streak=0), now)
    return _change(circuit, changed, "throttle_reset", order, now)


def expire_override(circuit: Circuit, now: float) -> Controlled | None:
    """End an override whose time has come; None if there is none.

    Until this is done the override stands for everybody, so that no two readers see different states.
    """
    if circuit.override is None or circuit.override_until is None or now < circuit.override_until:
        return None
    order = Order(SWEEPER, circuit.override_reason or "")
    return _change(circuit, start_epoch(_drop_override(circuit), now), "override_expired", order, now)


def _override(circuit: Circuit, override: Override, order: Order, now: float) -> Controlled:
    _check_order(order, now, may_expire=True)
    changed = start_epoch(circuit, now)._replace(
        override=override, override_by=order.actor, override_reason=order.reason, override_until=order.until
    )
    return _change(circuit, changed, override, order, now)


def _drop_override(circuit: Circuit) -> Circuit:
    return circuit._replace(override=None, override_by=None, override_reason=None, override_until=None)


def _check_order(order: Order, now: float, *, may_expire: bool) -> None:
    for name, value in (("actor", order.actor), ("reason", order.reason)):
        if not value.strip():
            raise ValueError(f"{name}: is empty; say who changes the circuit, and why")
    if order.until is not None and not may_expire:
        raise ValueError("until: only force_open and disable can end by themselves")
    if order.until is not None and order.until <= now:
        raise ValueError("until: lies in the past; give a time ahead, or none")


def _change(before: Circuit, after: Circuit, reason: Reason, order: Order, now: float) -> Controlled:
    transition = Transition(
        after.target,
        after.version,
        find_effective_state(before, now),
        find_effective_state(after, now),
        reason,
        after.epoch,
        now,
        actor=order.actor,
        note=order.reason,
        # under an override it never becomes half-open
        open_until=None if after.override else after.open_until,
    )
    return Controlled(after, EMPTY_WINDOW, transition)
