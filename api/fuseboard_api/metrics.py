"""Metrics in the text form that Prometheus scrapes, from PostgreSQL and Redis at the time of the question."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from fuseboard_aggregator.jobs import JOBS
from fuseboard_api import metrics_store as store
from fuseboard_api.metrics_stream import read_stream
from fuseboard_api.metrics_stream_families import collect_stream
from fuseboard_consumer.decode import RejectionReason
from fuseboard_consumer.durations import estimate_percentile
from fuseboard_producer.options import locate_spool
from fuseboard_producer.spool import Spool
from fuseboard_schema.settings import Settings

log = logging.getLogger(__name__)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
CIRCUIT_STATES: Final = ("closed", "open", "half_open", "forced_open", "disabled")
QUANTILES: Final = (0.5, 0.95, 0.99)

# name, what it says, and each provider's value by the label that tells the values apart
COUNTERS: Final[tuple[tuple[str, str, str, dict[str, str]], ...]] = (
    (
        "fuseboard_requests",
        "Attempts at a provider by how they ended; failed is error or timeout.",
        "status",
        {"success": "successes", "failed": "failures", "rate_limited": "rate_limited", "cancelled": "cancelled"},
    ),
    (
        "fuseboard_tokens",
        "Tokens as far as they are known: prompt includes cache, completion includes reasoning.",
        "type",
        {"prompt": "prompt_tokens", "completion": "completion_tokens"},
    ),
    (
        "fuseboard_cache_tokens",
        "Prompt tokens that were read from the provider's cache, written to it for minutes, or for an hour.",
        "operation",
        {"read": "cache_read_tokens", "write": "cache_write_tokens", "write_1h": "cache_write_1h_tokens"},
    ),
    ("fuseboard_reasoning_tokens", "Completion tokens that were reasoning.", "", {"": "reasoning_tokens"}),
    ("fuseboard_fallbacks", "Attempts that served another provider's request.", "", {"": "fallbacks"}),
)
# not counters, because `prices reprice` and `reconcile --repair` may lower them; savings may be negative
GAUGES: Final[tuple[tuple[str, str, str], ...]] = (
    ("fuseboard_cost_usd", "Cost of all requests since the beginning, as far as priced.", "cost_usd"),
    ("fuseboard_baseline_cost_usd", "What they would have cost at the baseline (Claude).", "baseline_cost_usd"),
    ("fuseboard_savings_usd", "Savings against the baseline since the beginning.", "savings_usd"),
    ("fuseboard_cost_today_usd", "Cost of the day, in the installation's time zone.", "cost_today_usd"),
    ("fuseboard_savings_today_usd", "Savings of the day.", "savings_today_usd"),
    ("fuseboard_unpriced_requests", "Requests without a known price: in no cost.", "unpriced_requests"),
    ("fuseboard_unmetered_requests", "Requests with unknown usage: in no cost.", "unmetered_requests"),
)


def render_metrics(connection: store.Database, redis: Redis, settings: Settings) -> bytes:
    """Render all metrics, in CONTENT_TYPE.

    A Redis that is down leaves its metrics out and sets fuseboard_redis_up to 0; raises what PostgreSQL raises.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(lambda: collect_metrics(connection, redis, settings)))
    return generate_latest(registry)


class _Collector(Collector):
    """What prometheus-client asks for metrics; asked once per page."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterable[Metric]:
        # or the registry would ask the servers for the names alone
        return []

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def collect_metrics(connection: store.Database, redis: Redis, settings: Settings) -> Iterator[Metric]:
    """Collect every family of metrics, those of a server from one reading."""
    circuits = store.select_circuits(connection)
    yield from collect_usage(store.select_usage(connection), circuits)
    yield from collect_circuits(circuits)
    yield from collect_database(connection)
    yield make_gauge(
        "fuseboard_spool_bytes", "Events on this host's disk that wait for Redis.", measure_spool(settings)
    )
    try:
        reading = read_stream(redis, settings.namespace)
    except (RedisError, OSError) as error:
        log.warning("redis_unavailable error=%s", error)
        yield make_gauge("fuseboard_redis_up", "Whether Redis answered.", 0)
    else:
        yield make_gauge("fuseboard_redis_up", "Whether Redis answered.", 1)
        yield from collect_stream(reading)


def collect_usage(usage: list[store.Usage], circuits: list[store.CircuitReading]) -> Iterator[Metric]:
    """Make what was used by provider, and how long it took."""
    for name, text, label, columns in COUNTERS:
        counter = CounterMetricFamily(name, text, labels=["provider", label] if label else ["provider"])
        for row in usage:
            for value, column in columns.items():
                counter.add_metric([row.provider, value] if label else [row.provider], float(getattr(row, column)))
        yield counter
    for name, text, column in GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=["provider"])
        for row in usage:
            gauge.add_metric([row.provider], float(getattr(row, column)))
        yield gauge
    yield make_durations(usage, circuits)


def make_durations(usage: list[store.Usage], circuits: list[store.CircuitReading]) -> Metric:
    """Make the summary of durations: count and sum of all time, quantiles of the last minutes with traffic."""
    text = "Duration of successful requests; quantiles of the last ten minutes that had traffic."
    summary = SummaryMetricFamily("fuseboard_request_duration_seconds", text, labels=["provider"])
    for circuit in circuits:
        for quantile in QUANTILES:
            seconds = estimate_percentile(circuit.rolling_durations, quantile)
            if seconds is not None:
                labels = {"provider": circuit.provider, "quantile": str(quantile)}
                summary.add_sample(summary.name, labels, seconds)
    for row in usage:
        summary.add_metric([row.provider], row.duration_seconds_count, float(row.duration_seconds_sum))
    return summary


def collect_circuits(circuits: list[store.CircuitReading]) -> Iterator[Metric]:
    """Make what each circuit is, and how often it changed."""
    state = GaugeMetricFamily("fuseboard_circuit_state", "1 for what the circuit is now.", labels=["provider", "state"])
    changes = CounterMetricFamily("fuseboard_circuit_transitions", "Decided changes.", labels=["provider"])
    enabled = GaugeMetricFamily("fuseboard_provider_enabled", "Whether workers may choose it.", labels=["provider"])
    throttled = GaugeMetricFamily("fuseboard_provider_throttled", "Whether it asked for a pause.", labels=["provider"])
    available = GaugeMetricFamily(
        "fuseboard_provider_available",
        "Whether it is called now: enabled, neither open nor throttled.",
        labels=["provider"],
    )
    for circuit in circuits:
        for name in CIRCUIT_STATES:
            state.add_metric([circuit.provider, name], float(circuit.state == name))
        changes.add_metric([circuit.provider], circuit.transitions)
        enabled.add_metric([circuit.provider], circuit.enabled)
        throttled.add_metric([circuit.provider], circuit.is_throttled)
        available.add_metric([circuit.provider], circuit.is_available)
    yield from (state, changes, enabled, throttled, available)


def collect_database(connection: store.Database) -> Iterator[Metric]:
    """Make what waits inside the database for a job or for a person."""
    rejected = GaugeMetricFamily("fuseboard_rejected_events", "Refused, not replayed or dismissed.", labels=["reason"])
    # zeros as well, or the first event of a reason would be no change of anything
    found = dict.fromkeys(get_args(RejectionReason), 0) | store.select_rejected(connection)
    for reason, events in found.items():
        rejected.add_metric([reason], events)
    yield rejected

    folding = store.select_folding(connection)
    since_fold = math.inf if folding.since_fold_seconds is None else folding.since_fold_seconds
    yield make_gauge("fuseboard_unfolded_requests", "Requests that the next fold adds.", folding.unfolded_requests)
    text = "For how long nothing was folded although something waits."
    yield make_gauge("fuseboard_fold_lag_seconds", text, since_fold if folding.unfolded_requests else 0)

    # a job that never ran is a job that is late; the label `job` is Prometheus's own
    jobs = {name: store.JobReading(name, 0, is_failed=False) for name in JOBS}
    jobs |= {run.job: run for run in store.select_jobs(connection)}
    name = "fuseboard_job_last_success_timestamp_seconds"
    succeeded = GaugeMetricFamily(name, "When the job last ran to its end; 0: never.", labels=["scheduled_job"])
    failed = GaugeMetricFamily(
        "fuseboard_job_failed", "Whether its last run failed or found something.", labels=["scheduled_job"]
    )
    for job in jobs.values():
        succeeded.add_metric([job.job], job.last_success_seconds)
        failed.add_metric([job.job], job.is_failed)
    yield from (succeeded, failed)


def make_gauge(name: str, text: str, value: float) -> Metric:
    """Make a gauge of one value."""
    return GaugeMetricFamily(name, text, value=value)


def measure_spool(settings: Settings) -> int:
    """Measure what producers of this host and user left on the disk, in bytes."""
    try:
        place = locate_spool(settings.redis_url or "", settings.namespace, settings.spool_dir)
        # it is only looked at, so its bound does not matter
        return Spool(place, max_bytes=0).measure()
    except (ValueError, OSError):
        return 0
