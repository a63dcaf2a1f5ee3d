"""How large the batches of all consumers are, how long they take and how late they come, counted in Redis."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from redis import Redis
from redis.exceptions import RedisError

from fuseboard_consumer.entries import Entry

log = logging.getLogger(__name__)

# upper bounds; what is above the last one is in the total alone
BATCH_EVENTS_BOUNDS: Final = (1, 10, 100, 500, 1000, 2000, 5000, 10_000)
BATCH_SECONDS_BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
INGEST_LAG_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0)
# sums are kept as whole numbers, which Redis adds without an error
PARTS_PER_UNIT: Final = 1_000_000


class Distribution(NamedTuple):
    """How often a value was at most each bound, how often there was any, and the sum of all."""

    buckets: list[tuple[float, int]]
    observations: int
    total: float


class BatchCounts(NamedTuple):
    """One reading: batches by events, by seconds from their first read to their acknowledgement, and by lag.

    The lag is from the moment when Redis took the oldest entry of a batch until the batch was committed.
    """

    events: Distribution
    seconds: Distribution
    lag_seconds: Distribution


BOUNDS: Final[Mapping[str, Sequence[float]]] = {
    "events": BATCH_EVENTS_BOUNDS,
    "seconds": BATCH_SECONDS_BOUNDS,
    "lag_seconds": INGEST_LAG_BOUNDS,
}


def name_batch_counts(namespace: str) -> str:
    """Name the hash of the counts, which the consumers of one installation share."""
    return f"{namespace}:batches"


def count_batch(redis: Redis, namespace: str, entries: Sequence[Entry], events: int, seconds: float) -> None:
    """Count a batch that was acknowledged. Never raises: a count that is lost harms nobody."""
    oldest_ms = min(int(entry.entry_id.partition("-")[0]) for entry in entries)
    # the ids are of Redis's clock, and ours may be behind it
    lag_seconds = max(0.0, time.time() - oldest_ms / 1000)
    key = name_batch_counts(namespace)
    try:
        with redis.pipeline(transaction=False) as pipeline:
            for measure, value in (("events", events), ("seconds", seconds), ("lag_seconds", lag_seconds)):
                bound = next((bound for bound in BOUNDS[measure] if value <= bound), "inf")
                pipeline.hincrby(key, f"{measure}:{bound}")
                pipeline.hincrby(key, f"{measure}:sum", round(value * PARTS_PER_UNIT))
            pipeline.execute()
    except (RedisError, OSError) as error:
        log.debug("batch_not_counted error=%r", str(error))


def read_batch_counts(redis: Redis, namespace: str) -> BatchCounts:
    """Read what all consumers counted since Redis was last empty."""
    fields = cast("dict[bytes, bytes]", redis.hgetall(name_batch_counts(namespace)))
    counts = {field.decode(): int(value) for field, value in fields.items()}
    return BatchCounts(**{measure: _make_distribution(counts, measure) for measure in BOUNDS})


def _make_distribution(counts: Mapping[str, int], measure: str) -> Distribution:
    buckets, below = [], 0
    for bound in BOUNDS[measure]:
        below += counts.get(f"{measure}:{bound}", 0)
        buckets.append((float(bound), below))
    observations = below + counts.get(f"{measure}:inf", 0)
    return Distribution(buckets, observations, counts.get(f"{measure}:sum", 0) / PARTS_PER_UNIT)
