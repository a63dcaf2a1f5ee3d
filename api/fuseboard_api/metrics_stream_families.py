"""The families of metrics that are made of one reading of Redis."""

import math
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from fuseboard_api.metrics_stream import StreamReading
from fuseboard_consumer.batch_meter import Distribution
from fuseboard_schema.stream import STREAM_MAX_ENTRIES


def collect_stream(reading: StreamReading) -> Iterator[Metric]:
    """Make what waits in the stream, and what the consumers do about it."""
    heartbeat = math.inf if reading.heartbeat_age_seconds is None else reading.heartbeat_age_seconds
    for name, text, value in (
        ("stream_entries", "Entries (flushes of producers) that are not committed yet.", reading.entries),
        ("stream_entries_limit", "Entries above which producers spool to their disks.", STREAM_MAX_ENTRIES),
        ("stream_unacknowledged_entries", "Entries in the hands of consumers.", reading.unacknowledged_entries),
        ("stream_oldest_entry_seconds", "For how long the oldest entry waits.", reading.oldest_entry_seconds),
        ("consumers", "Consumers that asked for entries within half a minute.", reading.consumers),
        ("heartbeat_age_seconds", "Since consumers last said that they make progress.", heartbeat),
    ):
        yield GaugeMetricFamily(f"fuseboard_{name}", text, value=value)
    batches = reading.batches
    yield make_histogram("fuseboard_batch_events", "Events per batch.", batches.events)
    text = "Seconds from reading a batch to acknowledging it."
    yield make_histogram("fuseboard_batch_duration_seconds", text, batches.seconds)
    text = "Seconds from the moment Redis took a batch's oldest entry to its commit."
    yield make_histogram("fuseboard_ingest_lag_seconds", text, batches.lag_seconds)


def make_histogram(name: str, text: str, distribution: Distribution) -> Metric:
    """Make a histogram of one distribution."""
    buckets = [(str(bound), float(count)) for bound, count in distribution.buckets]
    buckets.append(("+Inf", float(distribution.observations)))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=distribution.total)
