"""The scheduled jobs: what each does in one run, and what is noted about it."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

import psycopg

from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.job_store import fail_job_run, finish_job_run, start_job_run
from fuseboard_aggregator.locks import hold_lock
from fuseboard_aggregator.partitions import drop_old_partitions, make_partitions_ahead
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_aggregator.rejected import expire_rejected_events
from fuseboard_aggregator.store import Database
from fuseboard_schema.database import connect_database, select_clock
from fuseboard_schema.migrate import MigrationError, list_pending_migrations
from fuseboard_schema.settings import Settings, SettingsError

log = logging.getLogger(__name__)


class JobRun(NamedTuple):
    """How a run ended: in words, the problem it found that somebody must see to, and whether it was left to another."""

    summary: str
    problem: str | None = None
    is_skipped: bool = False


def fold(connection: Database, settings: Settings, now: datetime) -> JobRun:
    """Fold what is pending."""
    del settings, now
    folded = fold_deltas(connection)
    if folded is None:
        return JobRun("another process is changing daily rows", is_skipped=True)
    return JobRun(f"folded {folded.deltas} deltas into {folded.daily_rows} daily rows")


def maintain_partitions(connection: Database, settings: Settings, now: datetime) -> JobRun:
    """Make the partitions of the next days, drop those past the retention, and let refused events expire."""
    made = make_partitions_ahead(connection, settings.partitions_ahead_days, now)
    retention = drop_old_partitions(connection, settings.raw_retention_days, now)
    expired = expire_rejected_events(connection, settings.rejected_retention_days, now)
    summary = f"made {len(made)} partitions, dropped {len(retention.dropped)}"
    return JobRun(f"{summary}, {expired} rejected events expired" if expired else summary, retention.problem)


def check_usage(connection: Database, settings: Settings, now: datetime) -> JobRun:
    """Compare all daily usage with the raw requests."""
    del settings, now
    result = reconcile(connection)
    summary = (
        f"{result.raw_requests} raw requests = {result.daily_requests} daily + {result.pending_requests} pending, "
        f"difference {result.difference_requests} requests, {result.difference_usd} USD"
    )
    if result.is_clean:
        return JobRun(summary)
    days = result.differing_days
    problem = f"{len(days)} days from {days[0]} to {days[-1]} differ from the raw requests: {summary}"
    return JobRun(summary, f"{problem}; run `fuseboard reconcile --repair`")


JOBS: Final[Mapping[str, Callable[[Database, Settings, datetime], JobRun]]] = {
    "partitions": maintain_partitions,
    "fold": fold,
    "reconcile": check_usage,
}


def get_database_url(settings: Settings) -> str:
    """Read where the database is, past a pooler; raise SettingsError when that is not set."""
    if not settings.session_database_url:
        raise SettingsError("DATABASE_URL is not set: the aggregator needs a PostgreSQL")
    return settings.session_database_url


def run_job(name: str, settings: Settings) -> JobRun:
    """Run one job once, as cron or Kubernetes would.

    Raises KeyError for an unknown name, SettingsError without DATABASE_URL, MigrationError when the database is not
    migrated, and what PostgreSQL raises.
    """
    database_url = get_database_url(settings)
    with connect_database(database_url, application_name=f"fuseboard aggregator {name}") as connection:
        return run_job_on(connection, name, settings)


def run_job_on(connection: Database, name: str, settings: Settings) -> JobRun:
    """Run one job over an open connection, unless another process is running it, and note how it went."""
    job = JOBS[name]
    check_migrated(connection)
    with hold_lock(connection, f"fuseboard.job.{name}") as held:
        if not held:
            return JobRun("another process is running it", is_skipped=True)
        start_job_run(connection, name)
        try:
            # what is old and what lies ahead is not for this host's clock to say
            run = job(connection, settings, select_clock(connection))
        except Exception as error:
            with suppress(psycopg.Error):
                fail_job_run(connection, name, f"{type(error).__name__}: {error}")
            raise
        if not run.is_skipped:
            finish_job_run(connection, name, run.problem)
    if run.problem:
        log.error("job_found_problem job=%s problem=%s", name, run.problem)
    return run


def check_migrated(connection: Database) -> None:
    """Raise MigrationError when the database and this program do not agree."""
    pending = list_pending_migrations(connection)
    if pending:
        raise MigrationError(f"the database lacks migration {pending[0]}: run `fuseboard migrate`")
