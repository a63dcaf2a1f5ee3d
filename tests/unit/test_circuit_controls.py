from collections.abc import Callable
from typing import Any

import pytest

from circuits import make_calls
from fuseboard_consumer.circuit import fold_events
from fuseboard_consumer.circuit_controls import (
    Controlled,
    Order,
    clear_override,
    disable_circuit,
    expire_override,
    force_open,
    reset_circuit,
    reset_throttle,
)
from fuseboard_consumer.circuit_state import Circuit, Transition
from fuseboard_consumer.circuit_window import EMPTY_WINDOW
from fuseboard_schema.circuit_settings import CircuitSettings

Control = Callable[[Circuit, Order, float], Controlled]
OPERATOR = Order("ada", "maintenance")
OPEN = Circuit("claude", "open", 4, 90.0, 3, 400.0, open_streak=2, throttle_until=500.0, throttle_streak=1)
FORCED = OPEN._replace(override="forced_open", override_by="bob", override_reason="why", override_until=200.0)
NONE: dict[str, object] = {"override": None, "override_by": None, "override_reason": None, "override_until": None}
CONTROLS: list[tuple[Control, Circuit, dict[str, object], Any]] = [
    (
        force_open,
        OPEN,
        {"override": "forced_open", "override_by": "ada", "override_reason": "maintenance"},
        ("open", "forced_open", "forced_open"),
    ),
    (
        disable_circuit,
        OPEN,
        {"override": "disabled", "override_by": "ada", "override_reason": "maintenance"},
        ("open", "disabled", "disabled"),
    ),
    (clear_override, FORCED, NONE, ("forced_open", "open", "override_cleared")),
    (
        reset_circuit,
        FORCED,
        {**NONE, "state": "closed", "open_until": None, "open_streak": 0},
        ("forced_open", "closed", "reset"),
    ),
    (reset_throttle, OPEN, {"throttle_until": None, "throttle_streak": 0}, ("open", "open", "throttle_reset")),
]


@pytest.mark.parametrize(("control", "before", "changes", "told"), CONTROLS)
def test_a_control_changes_what_it_says_in_a_new_epoch(
    control: Control, before: Circuit, changes: dict[str, object], told: tuple[Any, Any, Any]
) -> None:
    expected = before._asdict() | {"epoch": 5, "version": 4, "epoch_started_at": 100.0} | changes
    if control in (force_open, disable_circuit):
        expected["override_until"] = None

    circuit, window, transition = control(before, OPERATOR, 100.0)

    assert (circuit._asdict(), window) == (expected, EMPTY_WINDOW)
    open_until = 400.0 if told[1] == "open" else None
    assert transition == Transition("claude", 4, *told, 5, 100.0, None, "ada", "maintenance", open_until=open_until)


def test_calls_made_before_a_reset_do_not_open_the_circuit_again() -> None:
    circuit, window, _ = reset_circuit(OPEN, OPERATOR, 100.0)
    settings = CircuitSettings(min_reporters=1)

    late = fold_events(circuit, window, make_calls([99.0 + n / 9 for n in range(9)], "failure", epoch=4), settings, 101)
    new = fold_events(circuit, window, make_calls([100.0 + n / 9 for n in range(9)], "failure", epoch=5), settings, 101)

    assert late.circuit.state == "closed"
    assert new.circuit.state == "open"


def test_an_override_ends_at_its_time_and_not_before() -> None:
    assert expire_override(FORCED, 199.9) is None
    assert expire_override(OPEN, 500.0) is None
    assert expire_override(FORCED._replace(override_until=None), 500.0) is None

    expired = expire_override(FORCED, 200.0)

    assert expired is not None
    assert expired.circuit == OPEN._replace(epoch=5, version=4, epoch_started_at=200.0)
    assert expired.transition[2:5] == ("forced_open", "open", "override_expired")


@pytest.mark.parametrize("control", [force_open, disable_circuit, clear_override, reset_circuit, reset_throttle])
@pytest.mark.parametrize(
    ("order", "named"),
    [(Order("", "why"), "actor"), (Order("ada", " "), "reason"), (Order("ada", "why", 99.0), "until")],
)
def test_an_order_that_is_wrong_is_refused_by_its_field(control: Control, order: Order, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        control(OPEN, order, 100.0)


def test_only_an_override_can_end_by_itself() -> None:
    later = OPERATOR._replace(until=700.0)

    assert force_open(OPEN, later, 100.0).circuit.override_until == 700.0
    with pytest.raises(ValueError, match=r"^until: "):
        reset_circuit(OPEN, later, 100.0)
