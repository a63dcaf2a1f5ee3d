"""One typed function per statement that the metrics ask. None of them opens or ends a transaction."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow, class_row

from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]

# anybody who may record can name providers; more than these share one series
PROVIDERS_MAX: Final = 100


class Usage(NamedTuple):
    """Usage of one provider since the beginning; failures are without rate_limited, so that the four add up."""

    provider: str
    successes: int
    failures: int
    rate_limited: int
    cancelled: int
    fallbacks: int
    unpriced_requests: int
    unmetered_requests: int
    prompt_tokens: Decimal
    completion_tokens: Decimal
    cache_read_tokens: Decimal
    cache_write_tokens: Decimal
    cache_write_1h_tokens: Decimal
    reasoning_tokens: Decimal
    cost_usd: Decimal
    baseline_cost_usd: Decimal
    savings_usd: Decimal
    cost_today_usd: Decimal
    savings_today_usd: Decimal
    duration_seconds_sum: Decimal
    duration_seconds_count: int


class CircuitReading(NamedTuple):
    """What one provider's circuit is now; rolling_durations as the health row has them."""

    provider: str
    enabled: bool
    state: str
    is_throttled: bool
    transitions: int
    rolling_durations: Mapping[str, Mapping[str, int]]

    @property
    def is_available(self) -> bool:
        """Say whether workers may call the provider now."""
        return self.enabled and not self.is_throttled and self.state not in {"open", "forced_open"}


class JobReading(NamedTuple):
    """How a scheduled job last went; last_success_seconds since 1970, 0: never."""

    job: str
    last_success_seconds: float
    is_failed: bool


class Folding(NamedTuple):
    """What the next fold has to do; since_fold_seconds is None before the first."""

    unfolded_requests: int
    since_fold_seconds: float | None


def select_usage(connection: Database) -> list[Usage]:
    """Read usage by provider, those without any among them."""
    with connection.cursor(row_factory=class_row(Usage)) as cursor:
        return cursor.execute(load_sql(__package__, "select_metric_usage"), {"providers_max": PROVIDERS_MAX}).fetchall()


def select_circuits(connection: Database) -> list[CircuitReading]:
    """Read the circuits of the same providers."""
    with connection.cursor(row_factory=class_row(CircuitReading)) as cursor:
        query = load_sql(__package__, "select_metric_circuits")
        return cursor.execute(query, {"providers_max": PROVIDERS_MAX}).fetchall()


def select_rejected(connection: Database) -> dict[str, int]:
    """Read how many refused events wait, by reason."""
    with connection.cursor() as cursor:
        return dict(cursor.execute(load_sql(__package__, "select_metric_rejected")).fetchall())


def select_jobs(connection: Database) -> list[JobReading]:
    """Read how the jobs that ever ran went."""
    with connection.cursor(row_factory=class_row(JobReading)) as cursor:
        return cursor.execute(load_sql(__package__, "select_metric_jobs")).fetchall()


def select_folding(connection: Database) -> Folding:
    """Read what is not folded yet."""
    with connection.cursor(row_factory=class_row(Folding)) as cursor:
        found = cursor.execute(load_sql(__package__, "select_metric_folding")).fetchone()
    if found is None:
        raise RuntimeError("select_metric_folding gave no row")
    return found
