"""Percentiles of the last minutes' durations, from the buckets in which a health row counts them. Pure."""

from collections import Counter
from collections.abc import Mapping
from math import ceil, sqrt
from typing import Final

# as duration_bucket_bounds() has them: from 5 ms, each a tenth above the one before, to an hour
DURATION_BOUNDS: Final = (*(float(f"{0.005 * 1.1**power:.6g}") for power in range(142)), 3600.0)

# counts by bucket, by minute, both as the text that JSON's keys are
RollingDurations = Mapping[str, Mapping[str, int]]


def estimate_percentile(rolling_durations: RollingDurations, fraction: float) -> float | None:
    """Estimate how many seconds that share (0 to 1) of the successes took at most; None without any.

    It is the geometric middle of the bucket that holds the nearest rank, so within 5 % of the true duration from 5 ms
    to an hour; below and above it is that bound.
    """
    counts: Counter[int] = Counter()
    for buckets in rolling_durations.values():
        counts.update({int(bucket): count for bucket, count in buckets.items()})
    rank = max(1, ceil(fraction * counts.total()))
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return _find_middle(bucket)
    return None


def _find_middle(bucket: int) -> float:
    low = DURATION_BOUNDS[max(bucket - 1, 0)]
    high = DURATION_BOUNDS[min(bucket, len(DURATION_BOUNDS) - 1)]
    return sqrt(low * high)
