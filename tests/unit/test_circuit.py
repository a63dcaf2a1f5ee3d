import json
from typing import Any

import pytest

from circuits import make_call, make_calls
from fuseboard_consumer.circuit import find_released_leases, fold_event, fold_events
from fuseboard_consumer.circuit_state import (
    Circuit,
    OpenReason,
    Override,
    Transition,
    find_effective_state,
    is_throttled,
    open_circuit,
    spread,
)
from fuseboard_consumer.circuit_window import EMPTY_WINDOW, dump_window, load_window
from fuseboard_schema.circuit_settings import CircuitSettings

START = Circuit("claude")
PLAIN = CircuitSettings(min_calls=5, min_reporters=1, jitter_ratio=0)
FIVE_FAILURES = make_calls([1.0, 2.0, 3.0, 4.0, 5.0], "failure")
OPEN = fold_events(START, EMPTY_WINDOW, FIVE_FAILURES, PLAIN, 10.0).circuit


def fold(events: list[Any], settings: CircuitSettings = PLAIN, now: float = 10.0) -> Circuit:
    return fold_events(START, EMPTY_WINDOW, events, settings, now).circuit


def test_a_transition_says_what_happened_and_why() -> None:
    folded = fold_events(START, EMPTY_WINDOW, FIVE_FAILURES, PLAIN, 10.0)

    cause = FIVE_FAILURES[-1].event_id
    assert folded.transitions == (
        Transition("claude", 1, "closed", "open", "failure_rate", 2, 10.0, cause, calls=5, bad=5, open_until=40.0),
    )
    assert folded.circuit == Circuit("claude", "open", 2, 10.0, 1, 40.0, 1)
    assert folded.window == EMPTY_WINDOW


def test_good_probes_close_and_one_bad_one_opens_for_longer() -> None:
    good = [make_call(41.0 + at, epoch=2, admission="probe") for at in range(2)]
    bad = make_call(43.0, "failure", epoch=2, admission="probe")

    closed = fold_events(OPEN, EMPTY_WINDOW, good, PLAIN, 45.0)
    opened = fold_events(OPEN, EMPTY_WINDOW, [good[0], bad], PLAIN, 45.0)

    assert [transition[2:5] for transition in closed.transitions] == [("half_open", "closed", "probes_succeeded")]
    assert closed.circuit == Circuit("claude", "closed", 3, 45.0, 2, None, 1)
    assert [transition[2:5] for transition in opened.transitions] == [("half_open", "open", "probe_failed")]
    assert (opened.circuit.open_until, opened.circuit.open_streak) == (105.0, 2)


def test_good_probes_are_remembered_between_transactions() -> None:
    circuit, window, _ = fold_event(OPEN, EMPTY_WINDOW, make_call(41.0, epoch=2, admission="probe"), PLAIN, 45.0)
    stored = load_window(json.loads(json.dumps(dump_window(window))))

    circuit, _, transition = fold_event(circuit, stored, make_call(42.0, epoch=2, admission="probe"), PLAIN, 46.0)

    assert circuit.state == "closed"
    assert transition is not None


@pytest.mark.parametrize(
    ("streak", "reason", "expected"),
    [
        (0, "failure_rate", 30),
        (1, "failure_rate", 60),
        (4, "slow_rate", 480),
        (5, "consecutive", 600),
        (10000, "failure_rate", 600),
        (0, "fatal", 300),
        (6, "fatal", 600),
    ],
)
def test_a_circuit_opens_for_longer_each_time_up_to_its_cap(streak: int, reason: OpenReason, expected: float) -> None:
    circuit = Circuit("claude", open_streak=streak, epoch_started_at=900.0)

    opened = open_circuit(circuit, reason, PLAIN, 1000.0)

    assert (opened.open_until, opened.open_streak) == (1000.0 + expected, streak + 1)


@pytest.mark.parametrize(("closed_for", "streak"), [(299.9, 4), (300.0, 1)])
def test_a_circuit_that_was_closed_long_enough_starts_anew(closed_for: float, streak: int) -> None:
    circuit = Circuit("claude", open_streak=3, epoch_started_at=1000.0 - closed_for)

    assert open_circuit(circuit, "failure_rate", PLAIN, 1000.0).open_streak == streak


def test_jitter_is_added_is_bounded_and_is_the_same_in_a_replay() -> None:
    spreads = {(target, epoch): spread(target, epoch) for target in ("claude", "openai") for epoch in range(200)}
    opened = open_circuit(START, "failure_rate", CircuitSettings(), 0.0)

    assert all(0 <= value < 1 for value in spreads.values())
    assert len(set(spreads.values())) == len(spreads)
    assert 0.4 < sum(spreads.values()) / len(spreads) < 0.6
    assert opened.open_until == pytest.approx(30 * (1 + 0.2 * spreads["claude", 2]), abs=1e-6)


@pytest.mark.parametrize(
    ("circuit", "now", "expected"),
    [
        (START, 1.0, "closed"),
        (OPEN, 39.999, "open"),
        (OPEN, 40.0, "half_open"),
        (OPEN._replace(override="disabled"), 40.0, "disabled"),
        (START._replace(override="forced_open"), 1.0, "forced_open"),
        # the override stands until somebody has ended it
        (START._replace(override="forced_open", override_until=5.0), 9.0, "forced_open"),
    ],
)
def test_the_effective_state_follows_from_the_row_and_the_time(circuit: Circuit, now: float, expected: str) -> None:
    assert find_effective_state(circuit, now) == expected


def test_events_of_one_worker_open_nothing_while_others_succeed() -> None:
    two = CircuitSettings(min_calls=5, min_reporters=2, jitter_ratio=0)
    failures = make_calls([2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "failure", worker_id="broken")
    others = make_calls([1.0, 1.5], worker_id="fine")

    assert fold(others + failures, two).state == "closed"
    assert fold([*others, *failures, make_call(7.5, "failure", worker_id="fine")], two).state == "open"
    # all that call is one worker
    assert fold(failures, two).state == "open"


def test_the_only_worker_left_is_a_quorum_once_the_others_have_left_the_window() -> None:
    two = CircuitSettings(min_calls=5, min_reporters=2, window_s=10, jitter_ratio=0)
    failures = make_calls([2.0, 3.0, 4.0, 5.0, 6.0], "failure", worker_id="broken")
    others = [make_call(1.0, worker_id="fine")]

    assert fold(others + failures, two).state == "closed"
    assert fold([*others, *failures, make_call(11.0, "failure", worker_id="broken")], two, 12.0).state == "open"


def test_a_circuit_opens_at_the_very_call_that_breaks_a_rate_however_good_the_rest_of_the_batch_is() -> None:
    calls = [*make_calls([1.0, 2.0, 3.0], "failure"), *make_calls([4.0, 5.0, 6.0, 7.0, 8.0, 9.0])]

    (transition,) = fold_events(START, EMPTY_WINDOW, calls, PLAIN, 10.0).transitions

    assert (transition.cause_event_id, transition.calls, transition.bad) == (calls[4].event_id, 5, 3)


@pytest.mark.parametrize(("newest", "state"), [(69.999, "open"), (70.0, "closed")])
def test_a_call_leaves_the_window_when_it_is_exactly_as_old(newest: float, state: str) -> None:
    settings = CircuitSettings(min_calls=4, min_reporters=1, failure_rate=1.0, consecutive_failures=100, window_s=60)
    failures = make_calls([10.0, 60.0, 61.0], "failure")

    assert fold([*failures, make_call(newest, "failure")], settings, 100.0).state == state


@pytest.mark.parametrize(("now", "state"), [(121.0, "open"), (121.001, "closed")])
def test_calls_older_than_the_window_and_the_lateness_touch_nothing(now: float, state: str) -> None:
    assert fold(make_calls([1.0, 1.0, 1.0, 1.0, 1.0], "failure"), now=now).state == state


def test_successes_that_are_too_old_are_not_counted_in_a_batch_either() -> None:
    stale, fresh = make_calls([0.5, 0.75]), make_calls([1.25, 1.5])

    _, window, _ = fold_events(START, EMPTY_WINDOW, stale + fresh, PLAIN, 121.0)

    assert [cell[0] for cell in window.cells] == [1.25, 1.5]


def test_a_worker_that_failed_before_the_last_success_is_no_reporter_of_the_row() -> None:
    settings = CircuitSettings(min_calls=100, consecutive_failures=3, min_reporters=2)
    before = [make_call(1.0, "failure", worker_id="w2"), make_call(2.0, worker_id="w2")]
    row = make_calls([3.0, 4.0, 5.0, 6.0], "failure", worker_id="w1")

    assert fold(before + row, settings).state == "closed"
    assert fold([*before, *row, make_call(7.0, "failure", worker_id="w2")], settings).state == "open"


def test_a_success_ends_a_row_of_fatal_calls_too() -> None:
    settings = CircuitSettings(min_calls=100, consecutive_failures=100, fatal_threshold=3)
    calls = [*make_calls([1.0, 2.0], "fatal"), make_call(3.0), *make_calls([4.0, 5.0], "fatal")]

    assert fold(calls, settings).state == "closed"
    assert fold([*calls, make_call(6.0, "fatal")], settings).state == "open"


@pytest.mark.parametrize(("started_at", "state"), [(10.0, "open"), (9.999, "closed")])
def test_a_call_without_an_epoch_belongs_to_the_one_in_which_it_started(started_at: float, state: str) -> None:
    circuit = START._replace(epoch=3, epoch_started_at=10.0)
    calls = make_calls([11.0, 12.0, 13.0, 14.0, 15.0], "failure", epoch=None, started_at=started_at)

    assert fold_events(circuit, EMPTY_WINDOW, calls, PLAIN, 16.0).circuit.state == state


def test_a_row_that_is_too_long_for_new_settings_opens_at_the_next_call_even_a_late_one() -> None:
    before = CircuitSettings(min_calls=100, min_reporters=1)
    after = CircuitSettings(min_calls=100, min_reporters=1, consecutive_failures=3)
    circuit, window, _ = fold_events(START, EMPTY_WINDOW, make_calls([2.0, 3.0, 4.0], "failure"), before, 10.0)

    (late,) = fold_events(circuit, window, make_calls([1.0, 9.0]), after, 10.0).transitions

    assert late.reason == "consecutive"
    assert fold_events(circuit, window, make_calls([9.0]), after, 10.0).transitions == ()


def test_a_success_that_is_late_keeps_its_place_in_the_row() -> None:
    settings = CircuitSettings(min_reporters=1, consecutive_failures=3, min_calls=100)
    circuit, window, _ = fold_events(START, EMPTY_WINDOW, make_calls([1.0, 3.0], "failure"), settings, 10.0)
    circuit, window, _ = fold_event(circuit, window, make_call(2.0), settings, 10.0)

    later = fold_events(circuit, window, make_calls([4.0], "failure"), settings, 10.0)
    last = fold_events(later.circuit, later.window, make_calls([5.0], "failure"), settings, 10.0)

    assert later.circuit.state == "closed"
    assert [transition.reason for transition in last.transitions] == ["consecutive"]


@pytest.mark.parametrize(
    ("events", "until", "streak"),
    [
        ([make_call(5.0, "throttle")], 10.0, 1),
        # within the episode that is running
        ([make_call(5.0, "throttle"), make_call(9.0, "throttle")], 10.0, 1),
        ([make_call(5.0, "throttle"), make_call(10.0, "throttle")], 20.0, 2),
        ([make_call(5.0, "throttle"), make_call(10.0), make_call(10.1, "throttle")], 20.1, 2),
        ([make_call(5.0, "throttle"), make_call(10.1), make_call(10.2, "throttle")], 15.2, 1),
        ([make_call(5.0, "throttle", retry_after_seconds=60.0)], 65.0, 0),
        ([make_call(5.0, "throttle", retry_after_seconds=-3.0)], 5.0, 0),
        ([make_call(5.0, "failure", retry_after_seconds=2.0)], 7.0, 0),
        ([make_call(5.0, "failure")], None, 0),
        ([make_call(5.0, "fatal", retry_after_seconds=2.0)], None, 0),
        ([make_call(5.0, "throttle", retry_after_seconds=60.0, epoch=7)], 65.0, 0),
    ],
)
def test_a_rate_limit_sets_a_deadline(events: list[Any], until: float | None, streak: int) -> None:
    circuit = fold(events, now=11.0)

    assert (circuit.throttle_until, circuit.throttle_streak) == (until, streak)
    assert (circuit.state, circuit.version) == ("closed", 0)
    assert is_throttled(circuit, 6.0) is (until is not None and until > 6.0)


def test_a_rate_limit_without_a_hint_is_capped_however_many_there_were() -> None:
    circuit = START._replace(throttle_until=1.0, throttle_streak=5_000)

    circuit, _, _ = fold_event(circuit, EMPTY_WINDOW, make_call(5.0, "throttle"), PLAIN, 10.0)

    assert circuit.throttle_until == 305.0


def test_an_override_lets_nothing_but_the_throttle_change() -> None:
    overrides: tuple[Override, ...] = ("forced_open", "disabled")
    for override in overrides:
        circuit = START._replace(override=override)

        folded = fold_events(
            circuit, EMPTY_WINDOW, [*FIVE_FAILURES, make_call(6.0, "throttle", retry_after_seconds=9.0)], PLAIN, 10.0
        )

        assert folded == (circuit._replace(throttle_until=15.0), EMPTY_WINDOW, ())


def test_a_call_from_the_future_counts_as_from_the_most_that_is_allowed() -> None:
    circuit, window, _ = fold_event(START, EMPTY_WINDOW, make_call(99_999.0, "failure"), PLAIN, 10.0)

    assert window.newest_at == 15.0
    assert circuit.state == "closed"


def test_only_probes_that_tell_nothing_give_their_lease_back() -> None:
    events = [
        make_call(1.0, "neutral", epoch=2, admission="probe", lease_id="a"),
        make_call(2.0, "throttle", epoch=2, admission="probe", lease_id="b"),
        make_call(3.0, "failure", epoch=2, admission="probe", lease_id="c"),
        make_call(4.0, "success", epoch=2, admission="probe", lease_id="d"),
        make_call(5.0, "neutral", epoch=2, lease_id="e"),
        make_call(6.0, "neutral", epoch=None, admission="probe", lease_id="f"),
    ]

    assert find_released_leases(events) == [(2, "a"), (2, "b")]
