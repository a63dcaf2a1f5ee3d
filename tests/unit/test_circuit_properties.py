"""P1 to P6 and P9 of the specification's part C.7, over random circuits; concurrent consumers need a database."""

import itertools
import json
from collections.abc import Sequence
from random import Random
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from circuits import NOW, LiteralCircuit, name_transitions
from fuseboard_consumer.circuit import Folded, fold_event, fold_events
from fuseboard_consumer.circuit_state import Circuit, CircuitEvent, Transition
from fuseboard_consumer.circuit_window import EMPTY_WINDOW, Window, dump_window, load_window
from fuseboard_schema.circuit_settings import CircuitSettings

START = Circuit("claude", epoch_started_at=900.0)
# few different times, so that ties, late events and events on the edge of a window are common
TIMES = st.one_of(st.integers(880, 1004), st.sampled_from([950.25, 950.5, 990.25, 999.125])).map(float)


def make_settings(**fields: Any) -> CircuitSettings:  # noqa: ANN401 - any setting
    return CircuitSettings(**{"min_calls": 4, "consecutive_failures": 3, "slow_ms": 1.0, **fields})


SETTINGS = st.builds(
    make_settings,
    window_s=st.sampled_from([10.0, 20.5, 60.0, 100.0]),
    min_calls=st.integers(1, 12),
    failure_rate=st.sampled_from([0.3, 0.5, 1.0]),
    slow_ms=st.sampled_from([None, 1.0]),
    slow_rate=st.sampled_from([0.5, 1.0]),
    consecutive_failures=st.integers(2, 8),
    consecutive_max_age_s=st.sampled_from([5.0, 30.0, 300.0]),
    fatal_threshold=st.integers(2, 5),
    min_reporters=st.integers(1, 4),
    allowed_lateness_s=st.sampled_from([0.0, 20.0, 60.0]),
)


@st.composite
def draw_events(
    draw: st.DrawFn,
    epochs: Sequence[int | None] = (1, 1, 1, 1, 2, 3, None, 0),
    size: int = 30,
    outcomes: str = "success success success failure failure fatal throttle neutral",
    least: int = 0,
    times: st.SearchStrategy[float] = TIMES,
) -> list[CircuitEvent]:
    """Draw events of distinct ids, in any order."""
    calls: list[Any] = draw(
        st.lists(
            st.tuples(
                times,
                st.sampled_from(outcomes.split()),
                st.sampled_from(["w1", "w2", "w3", "w4"]),
                st.booleans(),
                st.sampled_from(epochs),
                st.sampled_from(["normal", "normal", "probe", "panic"]),
                st.sampled_from([None, None, 0.0, 7.5, 9_999.0]),
            ),
            min_size=least,
            max_size=size,
        )
    )
    names = draw(st.permutations(range(len(calls))))
    return [
        CircuitEvent(at, f"{name:03d}", outcome, worker, slow, epoch, admission, retry_after, at - 3.0)
        for name, (at, outcome, worker, slow, epoch, admission, retry_after) in zip(names, calls, strict=True)
    ]


def store(window: Window) -> Window:
    """Send a window through the JSON in which the database keeps it."""
    return load_window(json.loads(json.dumps(dump_window(window))))


def fold_all(batches: Sequence[Sequence[CircuitEvent]], config: CircuitSettings, now: float = NOW) -> Folded:
    circuit, window = START, EMPTY_WINDOW
    transitions: list[Transition] = []
    for batch in batches:
        folded = fold_events(circuit, store(window), batch, config, now)
        circuit, window = folded.circuit, folded.window
        transitions += folded.transitions
    return Folded(circuit, window, tuple(transitions))


def split(events: Sequence[CircuitEvent], cuts: Sequence[int]) -> list[Sequence[CircuitEvent]]:
    edges = [0, *sorted(cut % (len(events) + 1) for cut in cuts), len(events)]
    return [events[start:stop] for start, stop in itertools.pairwise(edges)]


def sort_by_moment(events: Sequence[CircuitEvent]) -> list[CircuitEvent]:
    return sorted(events, key=lambda event: (min(event.finished_at, NOW + 5), event.event_id))


# a few quarters of a second, over a little more than a window of ten seconds
BUSY_TIMES = st.integers(0, 50).map(lambda quarters: 985 + quarters / 4)
# so few failures that a circuit seldom opens
BUSY = " ".join(["success"] * 12 + ["failure"])
CUTS = st.lists(st.integers(0, 60), max_size=5)


@given(draw_events(least=8), SETTINGS)
@settings(max_examples=250, deadline=None)
def test_the_fold_is_the_specification_taken_literally(events: list[CircuitEvent], config: CircuitSettings) -> None:
    literal = LiteralCircuit(START, config)

    folded = fold_all([[event] for event in events], config)
    for event in events:
        literal.fold(event, NOW)

    assert folded.circuit == literal.circuit
    assert name_transitions(folded.transitions) == literal.transitions


@given(draw_events((1, 1, 1, None, 2), 45, least=25), SETTINGS, SETTINGS)
@settings(max_examples=150, deadline=None)
def test_a_batch_is_its_events_one_by_one(
    events: list[CircuitEvent], before: CircuitSettings, config: CircuitSettings
) -> None:
    # a window that other settings have left may break a rule already
    circuit, window, _ = fold_all([events[:20]], before)

    folded = fold_events(circuit, window, events[20:], config, NOW)

    transitions = []
    for event in sort_by_moment(events[20:]):
        circuit, window, transition = fold_event(circuit, window, event, config, NOW)
        transitions += [transition] if transition else []
    assert folded == (circuit, window, tuple(transitions))


@given(st.data(), st.builds(make_settings, window_s=st.sampled_from([8.0, 10.5]), min_calls=st.just(20)))
@settings(max_examples=100, deadline=None)
def test_a_batch_is_its_events_one_by_one_when_seconds_are_merged(data: st.DataObject, config: CircuitSettings) -> None:
    events = data.draw(draw_events((1,), 60, BUSY, 25, BUSY_TIMES))
    early, late = events[:20], events[20:]
    with patch("fuseboard_consumer.circuit_counts.EXACT_MAX_CALLS", 15):
        circuit, window, _ = fold_events(START, EMPTY_WINDOW, early, config, NOW)
        folded = fold_events(circuit, window, late, config, NOW)
        for event in sort_by_moment(late):
            circuit, window, _ = fold_event(circuit, store(window), event, config, NOW)

    assert (folded.circuit, folded.window) == (circuit, window)


@given(draw_events(), SETTINGS, CUTS)
@settings(max_examples=60, deadline=None)
def test_p4_batch_boundaries_are_invisible_to_events_in_order(
    events: list[CircuitEvent], config: CircuitSettings, cuts: list[int]
) -> None:
    ordered = sort_by_moment(events)

    assert fold_all(split(ordered, cuts), config) == fold_all([ordered], config)


@given(draw_events((1, 1, 1, None), 14), SETTINGS, st.randoms(use_true_random=False), CUTS)
@settings(max_examples=80, deadline=None)
def test_p2_what_opens_nothing_gives_the_same_circuit_in_any_order(
    events: list[CircuitEvent], config: CircuitSettings, random: Random, cuts: list[int]
) -> None:
    # an episode of throttling without a hint is as long as those before it that were seen
    events = [event for event in events if event.outcome != "throttle" or event.retry_after_seconds is not None]
    shuffled = random.sample(events, len(events))
    folded = fold_all(split(shuffled, cuts), config)
    in_order = fold_all([[event] for event in sort_by_moment(events)], config)
    assume(not folded.transitions)
    assume(not in_order.transitions)

    assert folded == in_order


@given(
    draw_events((1,), 14, "failure failure failure fatal success"),
    SETTINGS,
    st.randoms(use_true_random=False),
    CUTS,
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_p3_no_order_misses_a_rule_that_all_events_break(
    events: list[CircuitEvent], config: CircuitSettings, random: Random, cuts: list[int]
) -> None:
    literal = LiteralCircuit(START, config)
    for event in events:
        # counted without judging, so that the whole set is judged at its newest event
        literal.counted += [event] if counts(event, config) else []
    assume(literal.counted)
    assume(literal.find_reason() is not None)

    folded = fold_all(split(random.sample(events, len(events)), cuts), config)

    assert folded.circuit.version >= 1


def counts(event: CircuitEvent, config: CircuitSettings) -> bool:
    at = min(event.finished_at, NOW + config.max_future_skew_s)
    is_of_epoch = event.epoch == 1 if event.epoch else event.started_at >= START.epoch_started_at
    is_fresh = NOW - at <= config.window_s + config.allowed_lateness_s
    return is_of_epoch and is_fresh and event.admission != "panic" and event.outcome in ("success", "failure", "fatal")


@given(draw_events((1, 1, 2, 3, None)), SETTINGS, CUTS)
@settings(max_examples=50, deadline=None)
def test_p5_versions_are_dense_and_each_epoch_is_left_once(
    events: list[CircuitEvent], config: CircuitSettings, cuts: list[int]
) -> None:
    transitions = fold_all(split(events, cuts), config).transitions

    assert [transition.version for transition in transitions] == list(range(1, len(transitions) + 1))
    assert [transition.epoch for transition in transitions] == list(range(2, len(transitions) + 2))


@given(draw_events((2,)), draw_events((1,)), SETTINGS, CUTS)
@settings(max_examples=50, deadline=None)
def test_p6_events_of_older_epochs_change_nothing_but_the_throttle(
    current: list[CircuitEvent], older: list[CircuitEvent], config: CircuitSettings, cuts: list[int]
) -> None:
    start = START._replace(epoch=2, version=1)
    older = [event._replace(event_id=f"old{event.event_id}") for event in older]
    alone, mixed = (start, EMPTY_WINDOW), (start, EMPTY_WINDOW)
    for batch, late in zip(split(current, cuts), split(older, cuts), strict=True):
        alone = fold_events(*alone, batch, config, NOW)[:2]
        mixed = fold_events(*mixed, [*late, *batch], config, NOW)[:2]

    throttle = alone[0]
    assert (
        mixed[0]._replace(throttle_until=throttle.throttle_until, throttle_streak=throttle.throttle_streak) == alone[0]
    )
    assert mixed[1] == alone[1]


@given(draw_events((1, 1, 2, 2, 3, 4, None)), SETTINGS, CUTS)
@settings(max_examples=50, deadline=None)
def test_p9_a_replay_with_the_same_clock_gives_the_same_transitions(
    events: list[CircuitEvent], config: CircuitSettings, cuts: list[int]
) -> None:
    batches = split(events, cuts)
    state: tuple[Circuit, Window] = (START, EMPTY_WINDOW)
    transitions: list[Transition] = []
    log = []
    for revision, batch in enumerate(batches):
        now = NOW + 10 * revision
        folded = fold_events(*state, batch, config, now)
        state = folded[:2]
        transitions += folded.transitions
        moments = [min(event.finished_at, now + config.max_future_skew_s) for event in batch]
        log += [(revision, at, event.event_id, now, event) for at, event in zip(moments, batch, strict=True)]

    circuit, window, replayed = START, EMPTY_WINDOW, []
    for _, _, _, now, event in sorted(log, key=lambda entry: entry[:3]):
        circuit, window, transition = fold_event(circuit, window, event, config, now)
        replayed += [transition] if transition else []
    assert (replayed, (circuit, window)) == (transitions, state)
