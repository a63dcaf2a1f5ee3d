from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from fuseboard_consumer.health import ROLLING_MINUTES, Health, MinuteUsage, fold_health

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EMPTY = Health("claude", 0, 0, 0, 0, None, None, None, {}, {}, None, None)


def make_minute(minute: int, success_at: list[float], failure_at: list[float]) -> MinuteUsage:
    """Make what one batch adds in one minute, requests given by their second in the minute."""
    start = START + timedelta(minutes=minute)
    successes = [start + timedelta(seconds=second) for second in success_at]
    failures = [start + timedelta(seconds=second) for second in failure_at]
    return MinuteUsage(
        "claude",
        start,
        len(successes) + len(failures),
        len(successes),
        len(failures),
        Decimal(2) * len(successes),
        len(successes),
        max(successes, default=None),
        ["ReadTimeout"] * len(failures) or None,
        failures or None,
    )


def test_cancelled_calls_and_throttles_are_in_no_rolling_success_rate() -> None:
    minute = make_minute(0, [1, 2, 3], [4, 5])._replace(requests=9, rate_limited=1)

    health = fold_health(EMPTY, [minute])

    assert (health.total_requests, health.rolling_success_rate) == (9, Decimal("75.00"))
    alone = make_minute(1, [], [])._replace(requests=2)
    assert fold_health(EMPTY, [alone]).rolling_success_rate is None


def test_totals_and_last_times_add_up() -> None:
    health = fold_health(EMPTY, [make_minute(0, [1, 2, 3], [4]), make_minute(1, [5], [])])

    assert (health.total_requests, health.successful_requests, health.failed_requests) == (5, 4, 1)
    assert health.last_success_at == START + timedelta(minutes=1, seconds=5)
    assert health.last_failure_at == START + timedelta(seconds=4)
    assert health.last_error_type == "ReadTimeout"


def test_failure_count_is_the_failures_since_the_newest_success() -> None:
    health = fold_health(EMPTY, [make_minute(0, [10], [5, 20, 30])])
    assert health.failure_count == 2

    health = fold_health(health, [make_minute(0, [], [40])])
    assert health.failure_count == 3

    health = fold_health(health, [make_minute(1, [0], [])])
    assert health.failure_count == 0


def test_a_late_failure_from_before_the_newest_success_is_not_a_failure_since() -> None:
    health = fold_health(EMPTY, [make_minute(5, [0], [])])

    assert fold_health(health, [make_minute(4, [], [0, 1])]).failure_count == 0


def test_rolling_figures_forget_minutes_older_than_the_window() -> None:
    health = fold_health(EMPTY, [make_minute(0, [], [1, 2, 3])])
    assert health.rolling_success_rate == Decimal("0.00")
    assert health.rolling_avg_response_seconds is None

    health = fold_health(health, [make_minute(ROLLING_MINUTES, [1], [])])

    assert health.rolling_success_rate == Decimal("100.00")
    assert health.rolling_avg_response_seconds == Decimal(2)
    assert len(health.rolling_minutes) == 1
    assert health.total_requests == 4


def test_a_late_minute_does_not_bring_the_window_back() -> None:
    health = fold_health(EMPTY, [make_minute(30, [1], [])])

    assert fold_health(health, [make_minute(3, [], [1])]).rolling_success_rate == Decimal("100.00")


seconds = st.lists(st.integers(0, 59), max_size=4, unique=True)
batches = st.lists(
    st.builds(make_minute, st.integers(0, ROLLING_MINUTES - 1), seconds, seconds), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(batches, st.randoms(use_true_random=False))
def test_the_order_of_batches_changes_no_total(minutes: list[MinuteUsage], shuffler: object) -> None:
    minutes = [minute for minute in minutes if minute.requests]
    shuffled = list(minutes)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = EMPTY, EMPTY
    for minute in minutes:
        one = fold_health(one, [minute])
    for minute in shuffled:
        other = fold_health(other, [minute])

    # failure_count and last_error_type speak of what had arrived when
    assert one._replace(failure_count=0, last_error_type=None) == other._replace(failure_count=0, last_error_type=None)
