"""Percentiles from counted buckets: within 5 % of the duration that the rank names."""

from bisect import bisect_right
from collections import Counter
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard_consumer.durations import DURATION_BOUNDS, estimate_percentile


def count_durations(durations: list[float]) -> dict[str, int]:
    """Count durations by bucket, as duration_bucket() numbers them."""
    return dict(Counter(str(bisect_right(DURATION_BOUNDS, seconds)) for seconds in durations))


@given(
    st.lists(st.floats(0.005, 3599.0), min_size=1, max_size=40),
    st.lists(st.floats(0.005, 3599.0), max_size=40),
    st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]),
)
def test_a_percentile_is_within_five_percent_of_the_nearest_rank(
    first: list[float], second: list[float], fraction: float
) -> None:
    durations = sorted(first + second)
    exact = durations[max(1, ceil(fraction * len(durations))) - 1]

    estimate = estimate_percentile({"60": count_durations(first), "120": count_durations(second)}, fraction)

    assert estimate == pytest.approx(exact, rel=0.05)


def test_without_successes_there_is_no_percentile() -> None:
    assert estimate_percentile({}, 0.5) is None
    assert estimate_percentile({"60": {}}, 0.95) is None


def test_durations_beyond_the_bounds_are_estimated_as_the_bound() -> None:
    assert estimate_percentile({"60": count_durations([0.0, 0.001])}, 0.5) == 0.005
    assert estimate_percentile({"60": count_durations([3600.0, 31_536_000.0])}, 0.5) == 3600.0
