from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuseboard_producer.admission import GuardReading
from fuseboard_producer.guard import (
    RETRIES_PER_SECOND,
    RETRY_WINDOW_SECONDS,
    LocalGuard,
    LocalProbes,
    PanicThrottle,
    RetryBudget,
)
from fuseboard_schema.circuit_settings import CircuitSettings


def make_rng() -> Random:
    return Random(1)  # noqa: S311 - repeatable on purpose


def fail(guard: LocalGuard, *times: float) -> None:
    for now in times:
        guard.record_failure("a", now)


def find_suspicion_end(guard: LocalGuard, now: float) -> float:
    """Find the whole second at which the suspicion of `a` ends; `now` where there is none."""
    end = now
    while "a" in guard.read(end).suspects:
        end += 1
    return end


def test_three_failures_in_half_a_minute_make_a_provider_suspect_for_ten_seconds() -> None:
    guard = LocalGuard()

    fail(guard, 100, 115)
    assert guard.read(115) == GuardReading()

    fail(guard, 130)
    assert guard.read(130).suspects == {"a"}
    assert find_suspicion_end(guard, 130) == 140


def test_failures_further_apart_do_not() -> None:
    guard = LocalGuard()

    fail(guard, 100, 120, 131, 151)

    assert guard.read(151).suspects == frozenset()


def test_suspicion_doubles_up_to_a_minute() -> None:
    guard, now, lengths = LocalGuard(), 0.0, []

    for _ in range(5):
        while not guard.read(now).suspects:
            now += 1
            fail(guard, now)
        end = find_suspicion_end(guard, now)
        lengths.append(end - now)
        now = end

    assert lengths == [10, 20, 40, 60, 60]


def test_failures_while_suspect_do_not_prolong_it() -> None:
    guard = LocalGuard()

    fail(guard, 0, 1, 2, 5, 6, 7, 11)

    assert find_suspicion_end(guard, 11) == 12


def test_a_success_clears_the_suspicion_its_length_and_the_run() -> None:
    guard = LocalGuard()
    fail(guard, 0, 1, 2)

    guard.record_success("a")
    assert guard.read(3) == GuardReading()

    fail(guard, 3, 4)
    assert guard.read(4) == GuardReading()
    fail(guard, 5)
    assert find_suspicion_end(guard, 5) == 15


def test_a_new_epoch_clears_what_was_seen_and_the_same_epoch_does_not() -> None:
    guard = LocalGuard()
    guard.observe_epochs({"a": 1, "b": 1})
    fail(guard, 0, 1, 2)
    guard.record_throttle("a", 100, 2)

    for epochs in ({"a": 1, "b": 2}, {"a": None}, {"b": 3}, {"a": 1}):
        guard.observe_epochs(epochs)
    assert guard.read(3) == GuardReading(frozenset({"a"}), {"a": 102.0})

    guard.observe_epochs({"a": 2})
    assert guard.read(3) == GuardReading()


def test_the_first_epoch_that_is_seen_clears_nothing() -> None:
    guard = LocalGuard()
    fail(guard, 0, 1, 2)

    guard.observe_epochs({"a": 7})

    assert guard.read(3).suspects == {"a"}


@pytest.mark.parametrize(("asked", "until"), [(30.0, 40.0), (None, 15.0), (10**9, 3610.0), (-5.0, None), (0.0, None)])
def test_a_throttle_counts_at_once(asked: float | None, until: float | None) -> None:
    guard = LocalGuard()

    guard.record_throttle("a", asked, 10)

    assert guard.read(10).throttles == ({} if until is None else {"a": until})


def test_a_throttle_is_bounded_by_what_operators_configured() -> None:
    settings = CircuitSettings(throttle_default_s=2, retry_after_cap_s=30)
    guard = LocalGuard()

    guard.record_throttle("a", None, 10, settings)
    guard.record_throttle("b", 500, 10, settings)

    assert guard.read(10).throttles == {"a": 12, "b": 40}


def test_a_throttle_only_moves_forward_and_outlives_a_late_success() -> None:
    guard = LocalGuard()

    guard.record_throttle("a", 60, 10)
    guard.record_throttle("a", 5, 11)
    guard.record_success("a")

    assert guard.read(12).throttles == {"a": 70}
    assert guard.read(70).throttles == {}


def test_one_local_probe_is_out_at_a_time() -> None:
    probes = LocalProbes()

    assert probes.acquire("a", 0, 90)
    assert not probes.acquire("a", 1, 90)
    assert probes.acquire("b", 1, 90)
    probes.release("a")
    assert probes.acquire("a", 2, 90)


def test_a_local_probe_that_never_ended_expires() -> None:
    probes = LocalProbes()
    probes.acquire("a", 0, 90)

    assert not probes.acquire("a", 89.9, 90)
    assert probes.acquire("a", 90, 90)
    assert not probes.acquire("a", 91, 90)


def test_retries_are_a_tenth_of_the_requests_and_three_a_second() -> None:
    budget = RetryBudget()
    for _ in range(200):
        budget.record_request(1000.5)

    granted = sum(budget.try_retry(1000.6) for _ in range(100))

    assert granted == 50
    assert not budget.try_retry(1009.9)
    # ten seconds on, only the three per second are left
    assert sum(budget.try_retry(1010.6) for _ in range(100)) == 30


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=300), st.floats(0, 1e6))
@settings(deadline=None)
def test_no_ten_seconds_have_more_retries_than_the_budget(steps: list[tuple[float, bool]], start: float) -> None:
    budget, now, requests, retries = RetryBudget(), start, [], []
    for wait_seconds, is_request in steps:
        now += wait_seconds
        if is_request:
            budget.record_request(now)
            requests.append(now)
        elif budget.try_retry(now):
            retries.append(now)

    for end in retries:
        recent_retries = sum(end - RETRY_WINDOW_SECONDS + 1 < at <= end for at in retries)
        recent_requests = sum(end - RETRY_WINDOW_SECONDS < at <= end for at in requests)
        assert recent_retries <= 0.1 * recent_requests + RETRIES_PER_SECOND * RETRY_WINDOW_SECONDS


def test_panic_calls_that_succeed_are_never_refused() -> None:
    throttle, rng = PanicThrottle(), make_rng()

    for second in range(100):
        assert throttle.try_panic(second, rng)
        throttle.record_success(second)


def test_panic_calls_that_fail_are_refused_more_and_more_and_forgotten_after_two_minutes() -> None:
    throttle, rng = PanicThrottle(), make_rng()

    admitted = [throttle.try_panic(500, rng) for _ in range(1000)]

    assert admitted[0]
    assert sum(admitted) < 20
    assert throttle.compute_refusal_probability(619) == 1000 / 1001
    assert throttle.compute_refusal_probability(620) == 0
    assert throttle.try_panic(620, rng)


def test_the_probability_is_by_requests_and_successes() -> None:
    throttle, rng = PanicThrottle(), make_rng()
    for _ in range(9):
        throttle.try_panic(0, rng)
    throttle.record_success(1)
    throttle.record_success(2)

    assert throttle.compute_refusal_probability(3) == 0.5
