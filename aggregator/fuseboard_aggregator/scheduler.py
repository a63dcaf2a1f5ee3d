"""The aggregator process: every job at its time, kept alive through outages."""

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Final

import psycopg
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from fuseboard_aggregator.job_store import select_job_runs
from fuseboard_aggregator.jobs import JobRun, check_migrated, get_database_url, run_job_on
from fuseboard_aggregator.store import Database
from fuseboard_schema.database import DATABASE_DOWN, connect_database, describe_in_line, select_clock
from fuseboard_schema.migrate import MigrationError
from fuseboard_schema.settings import Settings
from fuseboard_schema.stopping import arm_exit_backstop

log = logging.getLogger(__name__)

RETRY_FIRST_SECONDS: Final = 1.0
RETRY_MAX_SECONDS: Final = 60.0
# a database that is down is looked for as often, so that a failover is found
DOWN_RETRY_MAX_SECONDS: Final = 5.0
# a fold, and another job, that some process is running is looked at again so soon: that one may be frozen or gone
SKIPPED_FOLD_SECONDS: Final = 5.0
SKIPPED_SECONDS: Final = 60.0
STATEMENT_TIMEOUT_SECONDS: Final = 10.0
STATEMENT_TIMEOUT_MAX_SECONDS: Final = 120.0
CANCEL_EVERY_SECONDS: Final = 0.1
CLOCK_LOOK_SECONDS: Final = 1.0
CLOCK_JUMP_SECONDS: Final = 2.0


def run_aggregator(settings: Settings) -> None:
    """Run every job at its time until SIGTERM or SIGINT, then end within 5 seconds; what was running is rolled back.

    Waits out a PostgreSQL that is down and migrations that are not applied yet. Any number of aggregators may run.
    Raises SettingsError without DATABASE_URL. Must be called from the main thread.
    """
    aggregator = Aggregator(settings)
    # it says in words of its own what the job events say
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, aggregator.stop)
    aggregator.run()


class Aggregator:
    """One process's schedule, and the connections of the jobs that are running."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database_url = get_database_url(settings)
        self._stopping = threading.Event()
        self._running: set[Database] = set()
        self._failures: Counter[str] = Counter()
        # since when, by PostgreSQL's clock, another process has been running a job
        self._left_at: dict[str, datetime] = {}
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            # a run that was missed is made up for once, however late
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def run(self) -> None:
        """Run until stopped. Partitions come first: without one of today inserts would have to make it."""
        log.info("aggregator_started")
        finished_at = self._wait_for_database()
        self._scheduler.start(paused=True)
        self._add_jobs(finished_at)
        self._run_job("partitions")
        self._scheduler.resume()
        clock = ClockWatch()
        while not self._stopping.wait(CLOCK_LOOK_SECONDS):
            if jump_seconds := clock.take_jump():
                self._follow_clock(jump_seconds)
        self._scheduler.shutdown()
        log.info("aggregator_stopped")

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal: cancel what is running, and do not let a PostgreSQL that hangs hold up the stop."""
        del signum, frame
        self._stopping.set()
        arm_exit_backstop()
        threading.Thread(target=self._cancel_running, name="canceller", daemon=True).start()

    def _wait_for_database(self) -> dict[str, datetime | None]:
        """Wait until PostgreSQL is there and migrated, saying what for; return when each job last ran to its end."""
        failures = 0
        while not self._stopping.is_set():
            try:
                with self._connect("start") as connection:
                    check_migrated(connection)
                    return select_job_runs(connection)
            except (psycopg.Error, MigrationError) as error:
                failures += 1
                wait_seconds = min(_compute_backoff_seconds(failures), DOWN_RETRY_MAX_SECONDS)
                log.warning("database_not_ready retry_in_seconds=%.0f error=%s", wait_seconds, describe_in_line(error))
                self._stopping.wait(wait_seconds)
        return {}

    def _add_jobs(self, finished_at: dict[str, datetime | None]) -> None:
        """Schedule every job; one that was missed while no aggregator was there runs at once."""
        now = datetime.now(UTC)
        fold_every = timedelta(seconds=self._settings.fold_interval_seconds)
        self._add_job("partitions", CronTrigger(hour=0, minute=15, timezone=UTC), due=False)
        for name, trigger, every in (
            ("fold", self._make_fold_trigger(), fold_every),
            ("reconcile", CronTrigger(hour=2, minute=30, timezone=UTC), timedelta(days=1)),
        ):
            last = finished_at.get(name)
            self._add_job(name, trigger, due=last is None or last + every <= now)

    def _make_fold_trigger(self) -> IntervalTrigger:
        return IntervalTrigger(seconds=self._settings.fold_interval_seconds, timezone=UTC)

    def _follow_clock(self, jump_seconds: float) -> None:
        """Let jobs go on after this host's clock was set: their next times are of the clock that was.

        Set back, no job would run until the old time has come again; set forward, or after a sleep of the machine, what
        was missed is due anyway, and the scheduler is woken.
        """
        log.warning("clock_jumped seconds=%.0f", jump_seconds)
        now = datetime.now(UTC)
        for job in self._scheduler.get_jobs():
            if job.id == "fold":
                self._scheduler.reschedule_job(job.id, trigger=self._make_fold_trigger())
            elif jump_seconds < 0:
                self._scheduler.reschedule_job(job.id, trigger=job.trigger)
            if job.id == "fold" or self._failures[job.id]:
                self._scheduler.modify_job(job.id, next_run_time=now)
        self._scheduler.wakeup()

    def _add_job(self, name: str, trigger: BaseTrigger, *, due: bool) -> None:
        first_run = {"next_run_time": datetime.now(UTC)} if due else {}
        self._scheduler.add_job(self._run_job, trigger, (name,), id=name, name=name, **first_run)

    def _run_job(self, name: str) -> None:
        """Run one job and never raise: one job's failure must not stop another."""
        if self._stopping.is_set():
            return
        started = time.monotonic()
        try:
            with self._connect(name) as connection:
                run = self._run_unless_done(connection, name)
        except (*DATABASE_DOWN, MigrationError) as error:
            self._retry_later(name, describe_in_line(error), DOWN_RETRY_MAX_SECONDS)
        except Exception as error:
            if not self._stopping.is_set():
                log.exception("job_failed job=%s", name)
            self._retry_later(name, repr(error))
        else:
            self._failures.pop(name, None)
            if run.is_skipped:
                self._run_again(name, SKIPPED_FOLD_SECONDS if name == "fold" else SKIPPED_SECONDS)
            outcome = "skipped" if run.is_skipped else "done"
            log.info("job_%s job=%s seconds=%.2f %s", outcome, name, time.monotonic() - started, run.summary)

    def _run_unless_done(self, connection: Database, name: str) -> JobRun:
        """Run a job, but not where another process, to which it was left, has come to its end."""
        left_at = self._left_at.pop(name, None)
        finished_at = select_job_runs(connection).get(name) if left_at else None
        if left_at and finished_at and finished_at > left_at:
            return JobRun("another process has done it")
        run = run_job_on(connection, name, self._settings)
        if run.is_skipped:
            self._left_at[name] = left_at or select_clock(connection)
        return run

    def _retry_later(self, name: str, reason: str, max_seconds: float = RETRY_MAX_SECONDS) -> None:
        """Try again soon, unless the schedule has the job run earlier anyway."""
        if self._stopping.is_set():
            log.info("job_interrupted job=%s", name)
            return
        self._failures[name] += 1
        wait_seconds = min(_compute_backoff_seconds(self._failures[name]), max_seconds)
        log.warning("job_retried_later job=%s retry_in_seconds=%.0f reason=%s", name, wait_seconds, reason)
        self._run_again(name, wait_seconds)

    def _run_again(self, name: str, wait_seconds: float) -> None:
        retry_at = datetime.now(UTC) + timedelta(seconds=wait_seconds)
        job = self._scheduler.get_job(name)
        if job.next_run_time is None or retry_at < job.next_run_time:
            job.modify(next_run_time=retry_at)

    @contextmanager
    def _connect(self, name: str) -> Iterator[Database]:
        """Open a connection that a stop cancels; the next try may take longer, so that slow work does get done."""
        limit = min(STATEMENT_TIMEOUT_SECONDS * 2 ** min(self._failures[name], 10), STATEMENT_TIMEOUT_MAX_SECONDS)
        with connect_database(
            self._database_url, application_name=f"fuseboard aggregator {name}", statement_timeout_seconds=limit
        ) as connection:
            self._running.add(connection)
            try:
                yield connection
            finally:
                self._running.discard(connection)

    def _cancel_running(self) -> None:
        """Cancel again and again: a job may be between two statements."""
        while True:
            for connection in self._running.copy():
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=1)
            time.sleep(CANCEL_EVERY_SECONDS)


class ClockWatch:
    """Notices when the clock of this host was set, or stood still while the machine slept."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def take_jump(self) -> float:
        """Take by how many seconds the clock was set since the last call; the usual small corrections are 0."""
        offset = time.time() - time.monotonic()
        jump_seconds = offset - self._offset
        if abs(jump_seconds) < CLOCK_JUMP_SECONDS:
            return 0.0
        self._offset = offset
        return jump_seconds


def _compute_backoff_seconds(failures: int) -> float:
    return min(RETRY_FIRST_SECONDS * 2.0 ** min(failures - 1, 10), RETRY_MAX_SECONDS)
